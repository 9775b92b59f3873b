// attention on CUDA; attention.h says what it is. Device pointers; functions return cudaError_t.
#pragma once

#include <cstdint>

#include "backend/cuda/cuda_launch.h"

namespace acd {

int attention_cuda(const CudaLaunch& cuda, const AttentionParams& p);

namespace cuda {

// In f32 throughout, on the ordinary units: for parity.
struct AttentionArgs {
  const void* qkv;  // f32, or bf16 and 16-byte aligned
  void* out;        // of the same type
  int64_t batch;
  int64_t tokens;
  int64_t heads;
  bool causal;
};
int attention_f32(void* stream, const AttentionArgs& a);

// On tensor cores: products of bf16, sums and softmax in f32, weights rounded to bf16 for their
// product with v.
int attention_bf16(void* stream, const AttentionArgs& a);

}  // namespace cuda
}  // namespace acd
