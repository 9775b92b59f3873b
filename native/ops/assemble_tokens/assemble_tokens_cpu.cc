#include "backend/cpu/cpu_context.h"

namespace acd {

void assemble_tokens_cpu(CpuContext& cpu, const AssembleTokensParams& p) {
  cpu.run_rows(p.batch * p.tokens, p.width * 8, [&](int64_t begin, int64_t end) {
    for (int64_t row = begin; row < end; ++row) {
      float* x = p.x + row * p.width;
      const int64_t token = row % p.tokens;
      const float* position = p.positions + token * p.width;
      const float* from = token == 0 ? p.class_embedding : x;
      for (int64_t i = 0; i < p.width; ++i) x[i] = from[i] + position[i];
    }
  });
}

}  // namespace acd
