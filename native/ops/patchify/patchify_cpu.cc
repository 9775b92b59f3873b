#include <cstring>

#include "backend/cpu/cpu_context.h"

namespace acd {

void patchify_cpu(CpuContext& cpu, const PatchifyParams& p) {
  const int64_t g = p.size / p.patch, columns = 3 * p.patch * p.patch;
  cpu.run(p.batch * g, [&](int64_t tile) {
    const int64_t item = tile / g, row = tile % g;
    for (int64_t c = 0; c < 3; ++c) {
      for (int64_t y = 0; y < p.patch; ++y) {
        const float* line = p.image + ((item * 3 + c) * p.size + row * p.patch + y) * p.size;
        float* out = p.rows + (item * g + row) * g * columns + (c * p.patch + y) * p.patch;
        for (int64_t i = 0; i < g; ++i) {
          std::memcpy(out + i * columns, line + i * p.patch,
                      static_cast<size_t>(p.patch) * sizeof(float));
        }
      }
    }
  });
}

}  // namespace acd
