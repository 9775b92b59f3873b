// Floats of 16 and of 8 bits to float, exactly, and back.
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

inline float float_of_e4m3(uint8_t code) {
  const uint32_t magnitude = code & 0x7fu;
  const float moved = float_of_bits(magnitude << 20) * 1.329227995784916e36f;  // 2^120
  const float value = magnitude == 0x7f ? float_of_bits(0x7fc00000u) : moved;
  return code & 0x80 ? -value : value;
}

// Rounds to nearest, ties to even; saturates at 448; a NaN stays one.
inline uint8_t e4m3_of_float(float f) {
  uint32_t bits;
  std::memcpy(&bits, &f, sizeof bits);
  const auto sign = static_cast<uint8_t>(bits >> 24 & 0x80u);
  const float magnitude = float_of_bits(bits & 0x7fffffffu);
  if (magnitude != magnitude) return static_cast<uint8_t>(sign | 0x7fu);
  if (magnitude >= 448.0f) return static_cast<uint8_t>(sign | 0x7eu);
  // Below the smallest normal number steps of 2^-9: adding 2^14 leaves them in the low bits.
  if (magnitude < 0.015625f) {
    const float moved = magnitude + 16384.0f;
    std::memcpy(&bits, &moved, sizeof bits);
    return static_cast<uint8_t>(sign | (bits - 0x46800000u));
  }
  std::memcpy(&bits, &magnitude, sizeof bits);
  bits += 0x7ffff + (bits >> 20 & 1);
  return static_cast<uint8_t>(sign | ((bits >> 20) - (120u << 3)));
}

inline E4m3Row e4m3_row(float largest) {
  if (largest < kSmallestE4m3Row) return {0.0f, 0.0f};
  return {largest / kLargestE4m3, kLargestE4m3 / largest};
}

// Weights [n, k] as codes with a scale a row of k.
inline void e4m3_rows(const float* weight, int64_t n, int64_t k, uint8_t* codes, float* scales) {
  for (int64_t j = 0; j < n; ++j) {
    float largest = 0;
    for (int64_t i = 0; i < k; ++i) {
      const float magnitude = weight[j * k + i] < 0 ? -weight[j * k + i] : weight[j * k + i];
      if (magnitude > largest) largest = magnitude;
    }
    const E4m3Row row = e4m3_row(largest);
    for (int64_t i = 0; i < k; ++i)
      codes[j * k + i] = e4m3_of_float(weight[j * k + i] * row.inverse);
    scales[j] = row.scale;
  }
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
