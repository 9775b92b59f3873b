#pragma once

#include "backend/cpu/isa_dispatch.h"
#include "ops/conv_tokens/conv_tokens.h"

namespace acd {
// Output channels of one group, rounded up to whole vectors: the layout of `packed` below.
ACD_DECLARE_ISA(int64_t conv_tokens_padded_outputs(const ConvTokensParams& p))
// Grid rows [row_begin, row_end) of one item; packed [groups][k * k][c_in / groups][padded
// outputs].
ACD_DECLARE_ISA(void conv_tokens_rows(const ConvTokensParams& p, const float* packed, int64_t item,
                                      int64_t row_begin, int64_t row_end))
}  // namespace acd
