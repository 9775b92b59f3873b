// The activations of linear in f32, for kernels.
#pragma once

#include "backend/cuda/device_code.h"
#include "ops/linear/linear.h"

namespace acd::cuda {

template <Activation kAct>
inline __device__ float activate(float s) {
  switch (kAct) {
    case Activation::kGelu:
      return 0.5f * s * (1.0f + erff(s * 0.70710678118654752f));
    case Activation::kQuickGelu:
      return s / (1.0f + expf(-1.702f * s));
    case Activation::kLeakyRelu:
      return s < 0.0f ? 0.01f * s : s;
    default:
      return s;
  }
}

}  // namespace acd::cuda
