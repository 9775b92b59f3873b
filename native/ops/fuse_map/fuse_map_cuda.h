// fuse_map on CUDA; fuse_map.h says what it is. Device pointers; functions return cudaError_t.
#pragma once

#include <cstdint>

#include "backend/cuda/cuda_launch.h"

namespace acd {

int fuse_map_cuda(const CudaLaunch& cuda, const FuseMapParams& p);

namespace cuda {

constexpr int64_t kMaxTaps = 33;

// shared_bytes: what a block may have, CudaLaunch's.
int fuse_maps(void* stream, const FuseMapParams& a, size_t shared_bytes);

}  // namespace cuda
}  // namespace acd
