// Whether a checkpoint's numbers fit fp16, which ends at 65504.
#pragma once

#include <cstdint>
#include <string>

#include "core/status.h"

namespace acd {

// Of a LayerNorm (gain, shift [k]) and the product behind it (weight [n, k], bias [n]): what they
// can give whatever the picture. A normalised row x has |x| <= sqrt(k), so
//   |norm_j| <= sqrt(k) |gain_j| + |shift_j|,
//   |product_i| <= sqrt(k) |W_i gain| + |W_i shift + bias_i|  (Cauchy and Schwarz).
// Both are written in fp16; GELU and attention make nothing larger of the second. Fails with
// kUnsupported and the name where one may pass 65504, with a margin for roundings: a row that did
// would be infinite, and an infinity is a NaN one softmax later.
Status check_fp16_range(const std::string& name, const float* gain, const float* shift,
                        const float* weight, const float* bias, int64_t n, int64_t k);

// Of weights alone, where what they multiply is already in fp16: they are rounded to it too.
Status check_fp16_weights(const std::string& name, const float* weight, int64_t n, int64_t k);

}  // namespace acd
