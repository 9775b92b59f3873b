// How numbers lie in memory, where an op offers a choice.
#pragma once

#include <cstddef>

namespace acd {

// kInt8: activations as 8-bit codes without sign, a RowScale a row; weights as codes with a sign, a
// scale an output channel.
// kF16: rounding saturates at 65504.
enum class NumberType { kF32, kBf16, kInt8, kF16 };

constexpr size_t bytes_of(NumberType type) {
  return type == NumberType::kF32 ? 4 : type == NumberType::kInt8 ? 1 : 2;
}

// What the codes q of a row stand for: low + scale * q. A row that held a NaN or an infinity has
// NaN for both.
struct RowScale {
  float scale;
  float low;
};

}  // namespace acd
