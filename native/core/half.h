// 16-bit floats to float, exactly, and back.
#pragma once

#include <cstdint>
#include <cstring>

#include "core/number.h"

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

// Rounds to nearest, ties to even; saturates at 65504; a NaN stays one. For packing weights and for
// references.
inline uint16_t f16_of_float(float f) {
  uint32_t bits;
  std::memcpy(&bits, &f, sizeof bits);
  const auto sign = static_cast<uint16_t>(bits >> 16 & 0x8000u);
  const float magnitude = float_of_bits(bits & 0x7fffffffu);
  if (magnitude != magnitude) return static_cast<uint16_t>(sign | 0x7e00u);
  if (magnitude >= 65504.0f) return static_cast<uint16_t>(sign | 0x7bffu);
  // Below the smallest normal number steps are all alike: adding 0.5 leaves them in the low bits.
  if (magnitude < 6.103515625e-05f) {
    const float moved = magnitude + 0.5f;
    std::memcpy(&bits, &moved, sizeof bits);
    return static_cast<uint16_t>(sign | (bits - 0x3f000000u));
  }
  std::memcpy(&bits, &magnitude, sizeof bits);
  bits += 0xfff + (bits >> 13 & 1);
  return static_cast<uint16_t>(sign | ((bits >> 13) - (112u << 10)));
}

// Number i of an array of kF32, kBf16 or kF16.
inline float number_at(const void* from, NumberType type, int64_t i) {
  if (type == NumberType::kF32) return static_cast<const float*>(from)[i];
  const uint16_t half = static_cast<const uint16_t*>(from)[i];
  return type == NumberType::kBf16 ? float_of_bf16(half) : float_of_f16(half);
}
inline void put_number(void* to, NumberType type, int64_t i, float f) {
  if (type == NumberType::kF32)
    static_cast<float*>(to)[i] = f;
  else
    static_cast<uint16_t*>(to)[i] = type == NumberType::kBf16 ? bf16_of_float(f) : f16_of_float(f);
}

}  // namespace acd
