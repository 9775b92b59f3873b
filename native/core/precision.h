// The number format that a model computes in, as users name it. It belongs to a model as a whole;
// what an op reads and writes there is a NumberType (core/number.h).
#pragma once

#include <array>
#include <string>

namespace acd {

enum class Precision { kFp32, kBf16, kInt8 };

constexpr std::array<Precision, 3> kPrecisions = {Precision::kFp32, Precision::kBf16,
                                                  Precision::kInt8};

constexpr const char* precision_name(Precision p) {
  return p == Precision::kFp32 ? "fp32" : p == Precision::kBf16 ? "bf16" : "int8";
}

// Whether a device computes in a precision, and why (not): a phrase without a stop.
struct PrecisionSupport {
  bool available;
  std::string reason;
};

}  // namespace acd
