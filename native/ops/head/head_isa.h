#pragma once

#include "backend/cpu/isa_dispatch.h"
#include "ops/head/head.h"

namespace acd {
// y [rows, width] = h W^T + b of the tokens from `first`, turned into v in place; sum [width] += v.
ACD_DECLARE_ISA(void head_rows(const HeadParams& p, float* y, int64_t first, int64_t rows,
                               float* sum))
}  // namespace acd
