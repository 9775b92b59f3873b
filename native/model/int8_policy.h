// What computes in 8 bits at precisions int8 and fp8, and how weights are prepared for it. The
// reasons and the measurements are in docs/architecture.md, "int8" and "fp8".
#pragma once

#include <cstdint>

#include "core/number.h"
#include "core/precision.h"

namespace acd {

// In which type each product of a block takes its input.
struct BlockTypes {
  NumberType qkv, out_proj, c_fc, c_proj;
};
BlockTypes all_of(NumberType type);
// `tower_type` is what attention reads, and every product that is not in 8 bits. Of a tower
// narrower than 512 only the MLP's second product is in fp8: docs/gpu-results.md has what each one
// costs.
BlockTypes vision_block_types(Precision precision, NumberType tower_type, int64_t width);

// Before a LayerNorm's output x [width] and the product W [n, width] behind it are rounded to 8
// bits: divides channel j of the norm's gain and bias by s_j and multiplies column j of W with it,
// so that channels which the norm makes large do not take all codes of a token. With
// a_j = 3 |gain_j| + |bias_j|, which tells how large the channel gets, and w_j its largest weight,
// s_j is the power of two nearest to sqrt(a_j / w_j) over the middle channel's; powers of two
// change nothing in exact numbers. At least 1: a small gain may stand behind a channel that is
// large in the residual stream, and must stay small. Source: SmoothQuant (Xiao et al., 2023), with
// the norm's own parameters in place of calibration.
void equalise_channels(float* gain, float* bias, float* weight, int64_t n, int64_t width);

}  // namespace acd
