#include <cuda_runtime.h>

#include "backend/cuda/probe_kernel.h"

namespace acd {

__global__ void nothing() {}

int probe_kernel_image() {
  cudaFuncAttributes attributes;
  return cudaFuncGetAttributes(&attributes, reinterpret_cast<const void*>(nothing));
}

}  // namespace acd
