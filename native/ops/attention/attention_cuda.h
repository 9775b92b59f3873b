// attention on CUDA; attention.h says what it is. Device pointers; functions return cudaError_t.
#pragma once

#include <cstdint>

#include "backend/cuda/cuda_launch.h"
#include "backend/cuda/numbers.h"

namespace acd {

int attention_cuda(const CudaLaunch& cuda, const AttentionParams& p);

namespace cuda {

struct AttentionArgs {
  const void* qkv;
  void* out;
  int64_t batch;
  int64_t tokens;
  int64_t heads;
  bool causal;
  Number type = Number::kF32;  // of qkv and out: kF32, kBf16 or kF16
};

// f32: in f32 throughout, on the ordinary units, for parity. kBf16 and kF16: on tensor cores,
// products of that type, sums and softmax in f32, weights rounded for their product with v; qkv and
// out are 16-byte aligned.
int attention(void* stream, const AttentionArgs& a);

// Its two halves.
int attention_plain(void* stream, const AttentionArgs& a);
int attention_tensor(void* stream, const AttentionArgs& a);

}  // namespace cuda
}  // namespace acd
