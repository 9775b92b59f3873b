// quantize on CUDA, to 8-bit floats alone; quantize.h says what it is. Device pointers.
#pragma once

#include "backend/cuda/cuda_launch.h"
#include "ops/quantize/quantize.h"

namespace acd {

// Returns cudaError_t.
int quantize_cuda(const CudaLaunch& cuda, const QuantizeParams& p);

}  // namespace acd
