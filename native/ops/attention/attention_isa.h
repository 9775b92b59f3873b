#pragma once

#include <stddef.h>

#include "backend/cpu/isa_dispatch.h"
#include "ops/attention/attention.h"

namespace acd {
// Scratch of one call, bytes.
ACD_DECLARE_ISA(size_t attention_scratch_bytes(int64_t tokens))
// Query rows [row_begin, row_end) of one head of one item.
ACD_DECLARE_ISA(void attention_head(const AttentionParams& p, int64_t item, int64_t head,
                                    int64_t row_begin, int64_t row_end, void* scratch))
// The same for bf16.
ACD_DECLARE_BF16(size_t attention_scratch_bytes(int64_t tokens))
ACD_DECLARE_BF16(void attention_head(const AttentionParams& p, int64_t item, int64_t head,
                                     int64_t row_begin, int64_t row_end, void* scratch))
}  // namespace acd
