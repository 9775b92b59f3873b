// What follows a product on CUDA where cuBLASLt's own epilogue does not: it knows the tanh form of
// GELU alone, and no LeakyReLU. All pointers are device pointers.
#pragma once

#include <cstdint>

#include "backend/cuda/numbers.h"
#include "ops/linear/linear.h"

namespace acd::cuda {

// y = act(product + bias), or y += product + bias when `accumulate` (y f32, act none). `product`
// may be y where their types and strides are equal.
struct LinearEpilogueArgs {
  const void* product;  // [batch, rows, width], row stride ldp, item stride batch_product
  int64_t ldp;
  int64_t batch_product;
  Number product_type;  // kF32, kBf16 or kF16
  const float* bias;    // [width] or null
  void* y;              // row stride ldy, item stride batch_y
  int64_t ldy;
  int64_t batch_y;
  Number y_type = Number::kF32;
  float y_scale = 1.0f;  // multiplies before rounding to kE4m3
  int64_t rows;
  int64_t width;
  int64_t batch = 1;
  Activation act = Activation::kNone;
  bool accumulate = false;
};

// Returns cudaError_t.
int linear_epilogue(void* stream, const LinearEpilogueArgs& a);

// The largest |x| of [rows, width] (row stride ldx; kF32 or kBf16) into *max, which grows: the
// scale of an fp8 product's input comes from it. The caller clears *max first. A NaN or an infinity
// stays.
int grow_absolute_max(void* stream, const void* x, Number type, int64_t rows, int64_t width,
                      int64_t ldx, float* max);

}  // namespace acd::cuda
