// patchify on CUDA; patchify.h says what it is. Device pointers; returns cudaError_t.
#pragma once

#include "backend/cuda/cuda_launch.h"
#include "backend/cuda/numbers.h"

namespace acd {

int patchify_cuda(const CudaLaunch& cuda, const PatchifyParams& p);

namespace cuda {

// `rows` in another type, for a product in it: kF32 or kBf16.
int patchify(void* stream, const float* image, void* rows, Number rows_type, int64_t batch,
             int64_t size, int64_t patch);

}  // namespace cuda
}  // namespace acd
