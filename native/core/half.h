// 16-bit floats to float, exactly.
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

inline float float_of_f16(uint16_t h) {
  const uint32_t sign = uint32_t{h & 0x8000u} << 16;
  const uint32_t exponent = (h >> 10) & 0x1f;
  const uint32_t mantissa = h & 0x3ff;
  if (exponent == 31) return float_of_bits(sign | 0x7f800000u | (mantissa << 13));
  if (exponent == 0) {  // zero or subnormal: mantissa * 2^-24 is exact in float
    const float magnitude = static_cast<float>(mantissa) * 5.9604644775390625e-8f;
    return sign ? -magnitude : magnitude;
  }
  return float_of_bits(sign | ((exponent + 112) << 23) | (mantissa << 13));
}

}  // namespace acd
