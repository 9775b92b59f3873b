#include "backend/cpu/cpu_context.h"
#include "backend/cpu/isa.h"
#include "ops/quantize/quantize_isa.h"

namespace acd {

void quantize_cpu(CpuContext& cpu, const QuantizeParams& p) {
  const auto kernel = ACD_PICK_ISA(quantize_rows);
  cpu.run_rows(p.rows, p.width * 4, [&](int64_t begin, int64_t end) { kernel(p, begin, end); });
}

}  // namespace acd
