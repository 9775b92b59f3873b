// gate on CUDA; gate.h says what it is. Device pointers; functions return cudaError_t.
#pragma once

#include <cstdint>

#include "backend/cuda/cuda_launch.h"

namespace acd {

int gate_cuda(const CudaLaunch& cuda, const GateParams& p);

namespace cuda {

constexpr int kMaxGroups = 8;

// The gates of all groups and items at once.
struct GatesArgs {
  const float* mean;  // [batch, groups, width]
  float* hidden;      // [batch, groups, hidden_width]: scratch, gelu(W1 mean + b1)
  float* out;         // [batch, groups, groups, 2]
  int64_t batch;
  int64_t groups;  // G, at most kMaxGroups: of the softmax
  int64_t width;
  int64_t hidden_width;
  int64_t gates;  // how many of the groups are asked for; mean, hidden and out have so many
  GateWeights of[kMaxGroups];
};

int gates(void* stream, const GatesArgs& a);

}  // namespace cuda
}  // namespace acd
