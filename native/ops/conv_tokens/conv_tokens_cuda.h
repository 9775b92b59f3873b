// conv_tokens on CUDA; conv_tokens.h says what it is. Device pointers; returns cudaError_t. The
// model's two convolutions a kernel size run fused: conv_lora_cuda.h.
#pragma once

#include "backend/cuda/cuda_launch.h"

namespace acd {

int conv_tokens_cuda(const CudaLaunch& cuda, const ConvTokensParams& p);

}  // namespace acd
