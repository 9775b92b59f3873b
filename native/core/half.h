// 16-bit floats to float, exactly, and float to bf16.
#pragma once

#include <cstdint>
#include <cstring>

namespace acd {

inline float float_of_bits(uint32_t bits) {
  float f;
  std::memcpy(&f, &bits, sizeof f);
  return f;
}

inline float float_of_bf16(uint16_t h) { return float_of_bits(uint32_t{h} << 16); }

// Rounds to nearest, ties to even; a NaN stays one.
inline uint16_t bf16_of_float(float f) {
  uint32_t bits;
  std::memcpy(&bits, &f, sizeof bits);
  if ((bits & 0x7fffffffu) > 0x7f800000u) return static_cast<uint16_t>((bits >> 16) | 0x40);
  return static_cast<uint16_t>((bits + 0x7fff + ((bits >> 16) & 1)) >> 16);
}

// Without branches, so that loops over it become vectors: the multiplication moves the exponent and
// makes subnormals normal, both exactly.
inline float float_of_f16(uint16_t h) {
  const uint32_t sign = uint32_t{h & 0x8000u} << 16;
  const uint32_t magnitude = uint32_t{h & 0x7fffu} << 13;
  const float moved = float_of_bits(magnitude) * 5.192296858534828e33f;  // 2^112
  uint32_t bits;
  std::memcpy(&bits, &moved, sizeof bits);
  const bool special = magnitude >= 0x0f800000u;  // Inf or NaN
  return float_of_bits(sign | (special ? magnitude | 0x7f800000u : bits));
}

}  // namespace acd
