// lora_blend on CUDA; lora_blend.h says what it is. Device pointers; returns cudaError_t.
#pragma once

#include <cstdint>

#include "backend/cuda/cuda_launch.h"

namespace acd {

int lora_blend_cuda(const CudaLaunch& cuda, const LoraBlendParams& p);

namespace cuda {

// With `copy` the blended rows also go there, rounded to bf16, for the product that follows.
struct LoraBlendArgs {
  LoraBlendParams of;
  void* copy = nullptr;  // bf16 [batch, rows, width], row stride ld_copy, item stride batch_copy
  int64_t ld_copy = 0;
  int64_t batch_copy = 0;
};
int lora_blend(void* stream, const LoraBlendArgs& a);

}  // namespace cuda
}  // namespace acd
