// Rows of f32 rounded for a product in bf16.
#pragma once

#include <cstdint>

#include "backend/cpu/isa_dispatch.h"

namespace acd {
// y [rows, k], dense, is x [rows, k] with row stride ldx, to nearest; a NaN stays one.
ACD_DECLARE_BF16(void round_rows(const float* x, int64_t ldx, int64_t rows, int64_t k, uint16_t* y))
}  // namespace acd
