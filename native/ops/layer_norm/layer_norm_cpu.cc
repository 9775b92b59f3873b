#include "backend/cpu/cpu_context.h"
#include "backend/cpu/isa.h"
#include "ops/layer_norm/layer_norm_isa.h"

namespace acd {

void layer_norm_cpu(CpuContext& cpu, const LayerNormParams& p) {
  const auto kernel = ACD_PICK_ISA(layer_norm_rows);
  cpu.run_rows(p.rows, p.width * 8, [&](int64_t begin, int64_t end) { kernel(p, begin, end); });
}

}  // namespace acd
