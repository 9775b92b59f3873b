#include "device_numbers.h"

#include <cstring>

#include "small_floats.h"

namespace acd::test {
namespace {

uint32_t bits_of(float f) {
  uint32_t bits;
  std::memcpy(&bits, &f, sizeof bits);
  return bits;
}

float float_of_bits(uint32_t bits) {
  float f;
  std::memcpy(&f, &bits, sizeof f);
  return f;
}

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
      return bits_of(f);
    case cuda::Number::kBf16:
      return bf16_bits(f);
    case cuda::Number::kF16:
      return f16_bits(f);
    case cuda::Number::kE4m3:
      return e4m3_bits(f);
  }
  return 0;
}

float decode(cuda::Number type, uint32_t bits) {
  if (bits == guard_of(type)) return float_of_bits(kGuardBits);
  switch (type) {
    case cuda::Number::kF32:
      return float_of_bits(bits);
    case cuda::Number::kBf16:
      return bf16_value(static_cast<uint16_t>(bits));
    case cuda::Number::kF16:
      return f16_value(static_cast<uint16_t>(bits));
    case cuda::Number::kE4m3:
      return e4m3_value(static_cast<uint8_t>(bits));
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
      if (bits_of(f) != kGuardBits) bits = encode(type, f);
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

float rounded(cuda::Number type, float f) { return decode(type, encode(type, f)); }

Floats rounded(cuda::Number type, const Floats& values) {
  return DeviceNumbers(type, values).floats();
}

}  // namespace acd::test
