// layer_norm: y = (x - mean) / sqrt(var + eps) * weight + bias, per row.
//
//   x, y [rows, width] with row strides ldx, ldy (elements), weight and bias [width]; f32, y also
//   rounded to bf16 or f16 for a product in that type, or as 8-bit codes or floats with a scale a
//   row (`y_rows` or `y_scales` [rows]; see quantize); var is the biased variance; eps 1e-5
//   throughout CLIP. An f32 y may be x. Gradient: with xh = (x - mean) * rstd and g = dy * weight,
//   dx = rstd * (g - mean(g) - xh * mean(g * xh)). Source: torch.nn.functional.layer_norm.
#pragma once

#include <cstdint>

#include "core/number.h"

namespace acd {

struct LayerNormParams {
  const float* x;
  int64_t ldx;
  const float* weight;
  const float* bias;
  void* y;
  int64_t ldy;
  int64_t rows;
  int64_t width;
  float eps = 1e-5f;
  NumberType y_type = NumberType::kF32;
  RowScale* y_rows = nullptr;  // for kInt8
  float* y_scales = nullptr;   // for kE4m3
};

void layer_norm_ref(const LayerNormParams& p);

}  // namespace acd
