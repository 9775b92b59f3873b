// Vectors for kernels that are compiled once per instruction-set level (*_isa.cc). GCC vector
// extensions, so one source serves every level. Everything is static and inside the level's
// namespace: an inline function of a shared name, compiled for AVX-512, could be the copy that the
// linker keeps for everybody. For the same reason *_isa.cc includes no standard C++ header.
#pragma once

#include <stdint.h>
#include <string.h>

#include "backend/cpu/isa_dispatch.h"

namespace acd {
namespace ACD_ISA {

#if defined(ACD_ISA_avx512) || defined(ACD_ISA_avx512_vnni) || defined(ACD_ISA_avx512_bf16)
constexpr int kLanes = 16;
#elif defined(ACD_ISA_avx2)
constexpr int kLanes = 8;
#else
constexpr int kLanes = 4;
#endif

typedef float Vec __attribute__((vector_size(kLanes * 4)));
typedef int32_t VecI __attribute__((vector_size(kLanes * 4)));
typedef uint32_t VecU __attribute__((vector_size(kLanes * 4)));
typedef uint16_t VecH __attribute__((vector_size(kLanes * 2)));

static inline Vec load(const float* p) {
  Vec v;
  memcpy(&v, p, sizeof v);
  return v;
}

static inline void store(float* p, Vec v) { memcpy(p, &v, sizeof v); }

// Rounded to bf16, ties to even; a NaN stays one. The first n lanes.
static inline void store_bf16(uint16_t* p, Vec v, int n = kLanes) {
  VecU bits;
  memcpy(&bits, &v, sizeof bits);
  const VecU rounded = (bits + 0x7fff + ((bits >> 16) & 1)) >> 16;
  const VecH half = __builtin_convertvector(v == v ? rounded : (bits >> 16) | 0x40, VecH);
  memcpy(p, &half, static_cast<size_t>(n) * sizeof(uint16_t));
}

static inline Vec load_bf16(const uint16_t* p) {
  VecH half;
  memcpy(&half, p, sizeof half);
  const VecU bits = __builtin_convertvector(half, VecU) << 16;
  Vec v;
  memcpy(&v, &bits, sizeof v);
  return v;
}

static inline Vec splat(float x) { return x - Vec{}; }

static inline Vec vmax(Vec a, Vec b) { return a > b ? a : b; }
static inline Vec vmin(Vec a, Vec b) { return a < b ? a : b; }

static inline float sum_lanes(Vec v) {
  float s = 0;
  for (int i = 0; i < kLanes; ++i) s += v[i];
  return s;
}

static inline float min_lanes(Vec v) {
  float m = v[0];
  for (int i = 1; i < kLanes; ++i) m = v[i] < m ? v[i] : m;
  return m;
}

static inline float max_lanes(Vec v) {
  float m = v[0];
  for (int i = 1; i < kLanes; ++i) m = v[i] > m ? v[i] : m;
  return m;
}

// Mean of a row and 1 / sqrt(biased variance + eps). Two passes: the one-pass variance cancels for
// the outlier tokens of CLIP.
static inline void row_moments(const float* x, int64_t n, float eps, float* mean, float* rstd) {
  const int64_t full = n / kLanes * kLanes;
  Vec s = {};
  for (int64_t i = 0; i < full; i += kLanes) s += load(x + i);
  float sum = sum_lanes(s);
  for (int64_t i = full; i < n; ++i) sum += x[i];
  *mean = sum / static_cast<float>(n);
  Vec q = {};
  for (int64_t i = 0; i < full; i += kLanes) {
    const Vec d = load(x + i) - *mean;
    q += d * d;
  }
  float square = sum_lanes(q);
  for (int64_t i = full; i < n; ++i) square += (x[i] - *mean) * (x[i] - *mean);
  *rstd = 1.0f / __builtin_sqrtf(square / static_cast<float>(n) + eps);
}

// e^r for |r| <= ln2/2: Taylor's polynomial of degree 7.
static inline Vec exp_reduced(Vec r) {
  Vec p = splat(1.0f / 5040);
  p = p * r + 1.0f / 720;
  p = p * r + 1.0f / 120;
  p = p * r + 1.0f / 24;
  p = p * r + 1.0f / 6;
  p = p * r + 0.5f;
  p = p * r + 1.0f;
  return p * r + 1.0f;
}

// e^x for x <= 0, relative error below 2 ulp; x under -87 gives a value under 2e-38.
// After a Cody-Waite reduction.
static inline Vec exp_nonpositive(Vec x) {
  x = vmax(splat(-87.0f), x);                         // in this order a NaN stays one
  const Vec shifted = x * 1.44269504f + 12582912.0f;  // 1.5 * 2^23: rounds to nearest integer
  const Vec n = shifted - 12582912.0f;
  Vec r = x - n * 0.693359375f;
  r = r - n * -2.12194440e-4f;
  VecI bits;
  memcpy(&bits, &shifted, sizeof bits);
  VecI exponent = ((bits - 0x4b400000) + 127) << 23;
  Vec scale;
  memcpy(&scale, &exponent, sizeof scale);
  return exp_reduced(r) * scale;
}

}  // namespace ACD_ISA
}  // namespace acd
