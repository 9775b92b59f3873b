#include <algorithm>

#include "backend/cpu/cpu_context.h"
#include "backend/cpu/isa.h"
#include "ops/attention/attention_isa.h"

namespace acd {
namespace {

struct Kernel {
  void (*head)(const AttentionParams&, int64_t, int64_t, int64_t, int64_t, void*);
  size_t (*scratch_bytes)(int64_t);
};

Kernel kernel_for(NumberType type) {
#if defined(ACD_HAVE_avx512_bf16)
  if (type == NumberType::kBf16)
    return {avx512_bf16::attention_head, avx512_bf16::attention_scratch_bytes};
#endif
  ACD_ASSERT(type == NumberType::kF32);
  return {ACD_PICK_ISA(attention_head), ACD_PICK_ISA(attention_scratch_bytes)};
}

}  // namespace

void attention_cpu(CpuContext& cpu, const AttentionParams& p) {
  ACD_ASSERT(!p.int8_scores || (p.type == NumberType::kBf16 && !p.causal));
  const Kernel kernel = kernel_for(p.type);
  const size_t scratch_bytes = kernel.scratch_bytes(p.tokens);
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
    kernel.head(p, head / p.heads, head % p.heads, begin, end, cpu.scratch(scratch_bytes));
  });
}

}  // namespace acd
