// How numbers lie in memory, where an op offers a choice.
#pragma once

#include <cstddef>

namespace acd {

// kInt8: activations as 8-bit codes without sign, a RowScale a row; weights as codes with a sign, a
// scale an output channel.
// kF16: rounding saturates at 65504.
// kE4m3: 8-bit floats with 4 bits of exponent and 3 of mantissa, with a positive scale a row: what
// a code stands for is scale * code. Weights have a scale an output channel.
enum class NumberType { kF32, kBf16, kInt8, kF16, kE4m3 };

constexpr size_t bytes_of(NumberType type) {
  return type == NumberType::kF32                                 ? 4
         : type == NumberType::kInt8 || type == NumberType::kE4m3 ? 1
                                                                  : 2;
}

// What the codes q of a row stand for: low + scale * q. A row that held a NaN or an infinity has
// NaN for both.
struct RowScale {
  float scale;
  float low;
};

// How a row of kE4m3 is made: codes are the nearest to value * inverse, so that its largest
// magnitude becomes 448, the largest code. A row below 1e-30 becomes zeros. A NaN becomes the code
// that is one; an infinity makes its whole row NaN once scale and codes are multiplied.
struct E4m3Row {
  float scale;
  float inverse;
};
constexpr float kLargestE4m3 = 448.0f;
constexpr float kSmallestE4m3Row = 1e-30f;

}  // namespace acd
