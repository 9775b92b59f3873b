// What follows a product on CUDA where cuBLASLt's own epilogue does not: it knows the tanh form of
// GELU alone, and no LeakyReLU. All pointers are device pointers.
#pragma once

#include <cstdint>

#include "backend/cuda/numbers.h"
#include "ops/linear/linear.h"

namespace acd::cuda {

// y = act(product + bias), or y += product + bias when `accumulate` (y f32, act none). `product`
// may be y where their types and strides are equal. With scales, of an fp8 product that the library
// left unscaled, product is first multiplied by row_scales[row] * column_scales[column].
struct LinearEpilogueArgs {
  const void* product;  // [batch, rows, width], row stride ldp, item stride batch_product
  int64_t ldp;
  int64_t batch_product;
  Number product_type;  // kF32, kBf16 or kF16
  const float* bias;    // [width] or null
  void* y;              // row stride ldy, item stride batch_y
  int64_t ldy;
  int64_t batch_y;
  Number y_type = Number::kF32;  // kF32, kBf16 or kF16
  int64_t rows;
  int64_t width;
  int64_t batch = 1;
  Activation act = Activation::kNone;
  bool accumulate = false;
  const float* row_scales = nullptr;     // [batch, rows], or null
  const float* column_scales = nullptr;  // [width], with them
};

// Returns cudaError_t.
int linear_epilogue(void* stream, const LinearEpilogueArgs& a);

}  // namespace acd::cuda
