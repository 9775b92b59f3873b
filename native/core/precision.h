// The number format that a model computes in, as users name it. It belongs to a model as a whole;
// what an op reads and writes there is a NumberType (core/number.h).
#pragma once

#include <array>
#include <string>

namespace acd {

enum class Precision { kFp32, kBf16, kFp16, kInt8, kFp8 };

constexpr std::array<Precision, 5> kPrecisions = {
    Precision::kFp32, Precision::kBf16, Precision::kFp16, Precision::kInt8, Precision::kFp8};

constexpr const char* precision_name(Precision p) {
  switch (p) {
    case Precision::kFp32:
      return "fp32";
    case Precision::kBf16:
      return "bf16";
    case Precision::kFp16:
      return "fp16";
    case Precision::kInt8:
      return "int8";
    case Precision::kFp8:
      return "fp8";
  }
  return "";
}

// Whether a device computes in a precision, and why (not): a phrase without a stop.
struct PrecisionSupport {
  bool available;
  std::string reason;
};

// What a CUDA device of a compute capability (10 * major + minor) computes in.
PrecisionSupport cuda_precision(Precision precision, int capability);

// Whether scripts/gpu-check.sh has passed on a GPU of this compute capability
// (docs/gpu-results.md).
bool cuda_checked(int capability);

}  // namespace acd
