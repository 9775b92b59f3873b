// layer_norm on CUDA; formula and shapes in layer_norm.h. All pointers are device pointers.
//
// With `delta` (the output of a product, with its bias, if any): s = x + delta + delta_bias goes to
// `sum` (f32, row stride ldx; may be x), and y is the norm of s.
#pragma once

#include <cstdint>

#include "backend/cuda/cuda_launch.h"
#include "backend/cuda/numbers.h"

namespace acd {

// The entry of the backend's table. Returns cudaError_t.
int layer_norm_cuda(const CudaLaunch& cuda, const LayerNormParams& p);

namespace cuda {

struct LayerNormArgs {
  const float* x;
  int64_t ldx;
  const float* weight;
  const float* bias;
  void* y;
  int64_t ldy;
  int64_t rows;
  int64_t width;
  float eps = 1e-5f;
  Number y_type = Number::kF32;  // any
  float* y_scales = nullptr;     // [rows], for kE4m3
  const void* delta = nullptr;   // [rows, width], row stride ldd
  int64_t ldd = 0;
  Number delta_type = Number::kBf16;  // kF32 or kBf16
  const float* delta_bias = nullptr;  // [width] or null
  float* sum = nullptr;
};

int layer_norm(void* stream, const LayerNormArgs& a);

}  // namespace cuda
}  // namespace acd
