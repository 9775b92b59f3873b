// gather_tokens on CUDA; gather_tokens.h says what it is. Device pointers; returns cudaError_t.
#pragma once

#include "backend/cuda/cuda_launch.h"

namespace acd {

int gather_tokens_cuda(const CudaLaunch& cuda, const GatherTokensParams& p);

namespace cuda {

// The end-of-text token of every sequence, y[s] = x[s, l] with l the first place of the largest id:
// ids [sequences, length], x [sequences, length, width], y [sequences, width], f32.
struct GatherEndsArgs {
  const int32_t* ids;
  const float* x;
  float* y;
  int64_t sequences;
  int64_t length;
  int64_t width;
};
int gather_ends(void* stream, const GatherEndsArgs& a);

}  // namespace cuda
}  // namespace acd
