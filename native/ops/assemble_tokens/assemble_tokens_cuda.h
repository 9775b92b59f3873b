// assemble_tokens on CUDA; assemble_tokens.h says what it is. Device pointers; returns cudaError_t.
#pragma once

#include "backend/cuda/cuda_launch.h"

namespace acd {

int assemble_tokens_cuda(const CudaLaunch& cuda, const AssembleTokensParams& p);

}  // namespace acd
