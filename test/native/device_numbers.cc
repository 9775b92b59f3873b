#include "device_numbers.h"

#include <cmath>
#include <cstring>

#include "core/half.h"
#include "cuda_emulator.h"

namespace acd::test {
namespace {

// A NaN of each type that no rounding gives.
uint32_t guard_of(cuda::Number type) {
  switch (type) {
    case cuda::Number::kF32:
      return kGuardBits;
    case cuda::Number::kBf16:
      return 0xffa5;
    case cuda::Number::kF16:
      return 0xfda5;
    case cuda::Number::kE4m3:
      return 0xff;
  }
  return 0;
}

uint32_t encode(cuda::Number type, float f) {
  switch (type) {
    case cuda::Number::kF32:
      return __float_as_uint(f);
    case cuda::Number::kBf16:
      return emulator::bf16_bits(f);
    case cuda::Number::kF16:
      return emulator::f16_bits(f);
    case cuda::Number::kE4m3:
      return emulator::e4m3_bits(f);
  }
  return 0;
}

float e4m3_value(uint32_t bits) {
  const int exponent = bits >> 3 & 15, mantissa = bits & 7;
  if (exponent == 15 && mantissa == 7) return NAN;
  const float v = exponent ? std::ldexp(8.0f + mantissa, exponent - 10) : std::ldexp(mantissa, -9);
  return bits & 0x80 ? -v : v;
}

float decode(cuda::Number type, uint32_t bits) {
  if (bits == guard_of(type)) return __uint_as_float(kGuardBits);
  switch (type) {
    case cuda::Number::kF32:
      return __uint_as_float(bits);
    case cuda::Number::kBf16:
      return float_of_bf16(static_cast<uint16_t>(bits));
    case cuda::Number::kF16:
      return float_of_f16(static_cast<uint16_t>(bits));
    case cuda::Number::kE4m3:
      return e4m3_value(bits);
  }
  return 0;
}

}  // namespace

const char* number_name(cuda::Number type) {
  const char* names[] = {"f32", "bf16", "f16", "e4m3"};
  return names[static_cast<int>(type)];
}

size_t number_bytes(cuda::Number type) {
  return type == cuda::Number::kF32 ? 4 : type == cuda::Number::kE4m3 ? 1 : 2;
}

DeviceNumbers::DeviceNumbers(cuda::Number type, const Floats& values)
    : type_(type), guard_bytes_(static_cast<size_t>(kGuardWords) * number_bytes(type)) {
  const size_t size = number_bytes(type);
  // kGuardWords is odd; what starts behind the guards is aligned to the type alone. Where a kernel
  // shall see aligned rows, the guard grows to 16 bytes' multiple.
  guard_bytes_ = (guard_bytes_ + 15) / 16 * 16;
  const size_t n = static_cast<size_t>(values.size()), guards = guard_bytes_ / size;
  bytes_.resize((n + 2 * guards) * size);
  for (size_t i = 0; i < n + 2 * guards; ++i) {
    uint32_t bits = guard_of(type);
    if (i >= guards && i < guards + n) {
      const float f = values[static_cast<int64_t>(i - guards)];
      if (__float_as_uint(f) != kGuardBits) bits = encode(type, f);
    }
    std::memcpy(bytes_.data() + i * size, &bits, size);
  }
}

Floats DeviceNumbers::floats() const {
  const size_t size = number_bytes(type_), guards = guard_bytes_ / size;
  const size_t n = bytes_.size() / size - 2 * guards;
  Floats out(static_cast<int64_t>(n));
  for (size_t i = 0; i < n + 2 * guards; ++i) {
    uint32_t bits = 0;
    std::memcpy(&bits, bytes_.data() + i * size, size);
    if (i < guards || i >= guards + n) {
      CHECK(bits == guard_of(type_));
    } else {
      out[static_cast<int64_t>(i - guards)] = decode(type_, bits);
    }
  }
  return out;
}

Floats rounded(cuda::Number type, const Floats& values) {
  return DeviceNumbers(type, values).floats();
}

}  // namespace acd::test
