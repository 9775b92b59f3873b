// One row to 8-bit codes, for the kernels that end in one: quantize and layer_norm. Included by
// *_isa.cc alone, at every level.
#pragma once

#include "backend/cpu/simd.h"
#include "core/number.h"

namespace acd {
namespace ACD_ISA {

typedef uint8_t VecB __attribute__((vector_size(kLanes)));

// round((v - low) * inverse) as codes; the sum with 2^23 leaves the integer in the low bits.
static inline void store_codes(uint8_t* y, Vec v, float low, float inverse, int n = kLanes) {
  const Vec shifted = (v - low) * inverse + 8388608.0f;
  VecU bits;
  memcpy(&bits, &shifted, sizeof bits);
  const VecB codes = __builtin_convertvector(bits & 255, VecB);
  memcpy(y, &codes, static_cast<size_t>(n));
}

// row(i) gives kLanes values from i on, row.one(i) a single one; both are called twice.
template <typename Row>
static inline RowScale quantize_row(const Row& row, int64_t n, uint8_t* y) {
  const int64_t full = n / kLanes * kLanes;
  Vec low = splat(__builtin_inff()), high = splat(-__builtin_inff()), odd = {};
  for (int64_t i = 0; i < full; i += kLanes) {
    const Vec v = row(i);
    low = vmin(v, low);
    high = vmax(v, high);
    odd += v - v;  // NaN for a NaN or an infinity
  }
  float lo = min_lanes(low), hi = max_lanes(high), strange = sum_lanes(odd);
  for (int64_t i = full; i < n; ++i) {
    const float v = row.one(i);
    lo = v < lo ? v : lo;
    hi = v > hi ? v : hi;
    strange += v - v;
  }
  const float span = hi - lo;
  if (!(strange == 0.0f && span - span == 0.0f)) {
    memset(y, 0, static_cast<size_t>(n));
    return {__builtin_nanf(""), __builtin_nanf("")};
  }
  // Under the smallest normal number 255 / span is infinite; such a row is constant.
  const bool constant = span < 1.17549435e-36f;
  const float inverse = constant ? 0.0f : 255.0f / span;
  for (int64_t i = 0; i < full; i += kLanes) store_codes(y + i, row(i), lo, inverse);
  for (int64_t i = full; i < n; ++i) store_codes(y + i, splat(row.one(i)), lo, inverse, 1);
  return {constant ? 0.0f : span / 255.0f, lo};
}

}  // namespace ACD_ISA
}  // namespace acd
