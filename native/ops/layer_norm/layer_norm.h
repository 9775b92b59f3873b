// layer_norm: y = (x - mean) / sqrt(var + eps) * weight + bias, per row.
//
//   x, y [rows, width] with row strides ldx, ldy (elements), weight and bias [width]; f32; var is
//   the biased variance; eps 1e-5 throughout CLIP. x and y may be the same. Gradient: with xh = (x
//   - mean) * rstd and g = dy * weight, dx = rstd * (g - mean(g) - xh * mean(g * xh)). Source:
//   torch.nn.functional.layer_norm.
#pragma once

#include <cstdint>

namespace acd {

struct LayerNormParams {
  const float* x;
  int64_t ldx;
  const float* weight;
  const float* bias;
  float* y;
  int64_t ldy;
  int64_t rows;
  int64_t width;
  float eps = 1e-5f;
};

void layer_norm_ref(const LayerNormParams& p);

}  // namespace acd
