#include "backend/cpu/cpu_context.h"
#include "core/half.h"

namespace acd {

void gather_tokens_cpu(CpuContext& cpu, const GatherTokensParams& p) {
  cpu.run_rows(p.sequences * p.length, p.width * 8, [&](int64_t begin, int64_t end) {
    for (int64_t row = begin; row < end; ++row) {
      const int64_t first = int64_t{p.ids[row]} * p.width;
      const float* position = p.positions + row % p.length * p.width;
      float* x = p.x + row * p.width;
      const auto* f32 = static_cast<const float*>(p.table) + first;
      const auto* u16 = static_cast<const uint16_t*>(p.table) + first;
      for (int64_t i = 0; i < p.width; ++i) {
        const float v = p.type == TableType::kF32   ? f32[i]
                        : p.type == TableType::kF16 ? float_of_f16(u16[i])
                                                    : float_of_bf16(u16[i]);
        x[i] = v + position[i];
      }
    }
  });
}

}  // namespace acd
