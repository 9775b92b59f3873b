// Number types of device memory, for the launch functions of the kernels. Plain C++: no CUDA
// header.
#pragma once

namespace acd::cuda {

enum class Number {
  kF32,
  kBf16,
  kF16,
  kE4m3,  // fp8, largest 448
};

}  // namespace acd::cuda
