// Number types of device memory, for the launch functions of the kernels. Plain C++: no CUDA
// header.
#pragma once

#include "core/number.h"

namespace acd::cuda {

enum class Number {
  kF32,
  kBf16,
  kF16,
  kE4m3,  // fp8, largest 448
};

// Of a type that kernels read and write: not kInt8.
constexpr Number number_of(NumberType type) {
  return type == NumberType::kF32    ? Number::kF32
         : type == NumberType::kBf16 ? Number::kBf16
         : type == NumberType::kF16  ? Number::kF16
                                     : Number::kE4m3;
}

}  // namespace acd::cuda
