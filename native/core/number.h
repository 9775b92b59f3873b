// How numbers lie in memory, where an op offers a choice.
#pragma once

#include <cstddef>

namespace acd {

// kInt8: activations as 8-bit codes without sign, a RowScale a row; weights as codes with a sign, a
// scale an output channel.
enum class NumberType { kF32, kBf16, kInt8 };

constexpr size_t bytes_of(NumberType type) {
  return type == NumberType::kF32 ? 4 : type == NumberType::kBf16 ? 2 : 1;
}

// What the codes q of a row stand for: low + scale * q. A row that held a NaN or an infinity has
// NaN for both.
struct RowScale {
  float scale;
  float low;
};

}  // namespace acd
