// quantize: rows to 8-bit codes, each row on a scale of its own.
//
//   x [rows, width] with row stride ldx, f32 or bf16; y [rows, width] codes 0..255 with row stride
//   ldy; scales [rows]. With low and high a row's smallest and largest value:
//     scale = (high - low) / 255,  y = round((x - low) / scale),  x ~ low + scale * y,
//   wrong by at most scale / 2. `low` is not rounded to a multiple of the scale: nothing asks for a
//   code that means zero. A constant row (one that spans less than 1e-36) has scale 0; a row that
//   holds a NaN or an infinity, or spans more than f32 holds, gets NaN for both numbers. Gradient:
//   none (dx = dy is the usual straight-through one). Source: the usual affine quantiser with a
//   range taken per token, as in ZeroQuant (Yao et al., 2022).
//
//   Or to 8-bit floats (`y_type` kE4m3, core/number.h), x then f32, bf16 or f16: `y_scales` [rows],
//   scale = max |act(x)| / 448, y = e4m3(act(x) * (448 / max |act(x)|)), all f32. `act`, for these
//   alone, is that of linear: the MLP's inside is activated and rounded in one pass.
#pragma once

#include <cstdint>

#include "core/number.h"
#include "ops/linear/linear.h"

namespace acd {

struct QuantizeParams {
  const void* x;
  int64_t ldx;
  NumberType x_type;
  uint8_t* y;
  int64_t ldy;
  RowScale* scales;
  int64_t rows;
  int64_t width;
  NumberType y_type = NumberType::kInt8;
  float* y_scales = nullptr;
  Activation act = Activation::kNone;
};

void quantize_ref(const QuantizeParams& p);

}  // namespace acd
