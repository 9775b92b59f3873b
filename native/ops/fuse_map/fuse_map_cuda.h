// fuse_map on CUDA; fuse_map.h says what it is. Device pointers; functions return cudaError_t.
#pragma once

#include <cstdint>

#include "backend/cuda/cuda_launch.h"

namespace acd {

int fuse_map_cuda(const CudaLaunch& cuda, const FuseMapParams& p);

namespace cuda {

constexpr int64_t kMaxTaps = 33;

// The maps of a batch at once: dots, gates, map, max and logits of item i lie i times their
// batch_ stride behind. All items are blurred alike.
struct FuseMapsArgs {
  FuseMapParams of;
  int64_t batch;
  int64_t batch_dots;
  int64_t batch_gates;
  int64_t batch_map;
  int64_t batch_max;
  int64_t batch_logits;
};

// shared_bytes: what a block may have, CudaLaunch's.
int fuse_maps(void* stream, const FuseMapsArgs& a, size_t shared_bytes);

}  // namespace cuda
}  // namespace acd
