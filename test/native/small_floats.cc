#include "small_floats.h"

#include <algorithm>
#include <cmath>

#include "core/half.h"

namespace acd::test {
namespace {

uint32_t sign_of(float f) { return std::signbit(f); }

// |f| in a format of so many bits, ties to even; beyond its numbers where f is.
uint32_t encode(float f, int exponent_bits, int mantissa_bits) {
  if (f == 0) return 0;
  if (std::isinf(f)) return 0x7fffffffu;
  const int lowest = 2 - (1 << (exponent_bits - 1));  // exponent of the smallest normal number
  int exponent;
  std::frexp(f, &exponent);
  exponent = std::max(exponent - 1, lowest);
  const double steps = std::nearbyint(std::ldexp(std::fabs(double{f}), mantissa_bits - exponent));
  // One step is the unit in the last place, and counts on across the exponents.
  return (static_cast<uint32_t>(exponent - lowest) << mantissa_bits) + static_cast<uint32_t>(steps);
}

}  // namespace

uint16_t bf16_bits(float f) {
  if (std::isnan(f)) return 0x7fff;
  return static_cast<uint16_t>(sign_of(f) << 15 | std::min(encode(f, 8, 7), 0x7f80u));
}

uint16_t f16_bits(float f) {
  if (std::isnan(f)) return 0x7fff;
  return static_cast<uint16_t>(sign_of(f) << 15 | std::min(encode(f, 5, 10), 0x7c00u));
}

uint8_t e4m3_bits(float f) {
  if (std::isnan(f)) return 0x7f;
  return static_cast<uint8_t>(sign_of(f) << 7 | std::min(encode(f, 4, 3), 0x7eu));
}

float bf16_value(uint16_t bits) { return float_of_bf16(bits); }

float f16_value(uint16_t bits) { return float_of_f16(bits); }

float e4m3_value(uint8_t bits) {
  const int exponent = bits >> 3 & 15, mantissa = bits & 7;
  if (exponent == 15 && mantissa == 7) return NAN;
  const float v = exponent ? std::ldexp(8.0f + mantissa, exponent - 10) : std::ldexp(mantissa, -9);
  return bits & 0x80 ? -v : v;
}

}  // namespace acd::test
