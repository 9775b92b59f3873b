#include <algorithm>

#include "backend/cpu/cpu_context.h"
#include "backend/cpu/isa.h"
#include "ops/attention/attention_isa.h"

namespace acd {

void attention_cpu(CpuContext& cpu, const AttentionParams& p) {
  const auto kernel = ACD_PICK_ISA(attention_head);
  const size_t scratch_bytes = ACD_PICK_ISA(attention_scratch_bytes)(p.tokens);
  // One tile a head, so that its keys are packed once; query rows are split only where there are
  // more threads than heads. Rows do not influence each other, so the split changes no byte.
  const int64_t heads = p.batch * p.heads;
  const int64_t splits = std::clamp<int64_t>(2 * cpu.threads() / std::max<int64_t>(1, heads), 1,
                                             std::max<int64_t>(1, p.tokens / 192));
  const int64_t rows = (p.tokens + splits - 1) / splits;
  cpu.run(heads * splits, [&](int64_t tile) {
    const int64_t head = tile / splits;
    const int64_t begin = tile % splits * rows;
    const int64_t end = std::min(p.tokens, begin + rows);
    kernel(p, head / p.heads, head % p.heads, begin, end, cpu.scratch(scratch_bytes));
  });
}

}  // namespace acd
