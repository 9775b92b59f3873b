// The real CUDA runtime as a CudaRuntime.
#pragma once

#include "backend/cuda/host/runtime.h"

namespace acd {

const CudaRuntime& cudart_runtime();

}  // namespace acd
