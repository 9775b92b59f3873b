// The bits of a float rounded to a smaller type, ties to even, and back: for the emulator, and for
// what tests expect of kernels. Computed from the types' definitions, apart from any kernel.
#pragma once

#include <cstdint>

namespace acd::test {

uint16_t bf16_bits(float f);
uint16_t f16_bits(float f);
uint8_t e4m3_bits(float f);  // saturates at 448

float bf16_value(uint16_t bits);
float f16_value(uint16_t bits);
float e4m3_value(uint8_t bits);

}  // namespace acd::test
