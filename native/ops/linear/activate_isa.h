// Activations of a vector, as the epilogues of products apply them.
#pragma once

#if defined(__AVX512F__)
#include <immintrin.h>
#endif

#include "backend/cpu/simd.h"
#include "ops/linear/linear.h"

namespace acd {
namespace ACD_ISA {

// e^x for x <= 0, relative error below 2 ulp: as exp_nonpositive, in the instructions of the level.
static inline Vec exp_of(Vec x) {
#if defined(__AVX512F__)
  const Vec n = _mm512_roundscale_ps(x * 1.44269504f, _MM_FROUND_TO_NEAREST_INT);
  Vec r = x - n * 0.693359375f;
  r = r - n * -2.12194440e-4f;
  return _mm512_scalef_ps(exp_reduced(r), n);
#else
  return exp_nonpositive(x);
#endif
}

// 1 / x within an ulp or so; at AVX-512 by one Newton step: a division takes as long as six
// products.
static inline Vec reciprocal(Vec x) {
#if defined(__AVX512F__)
  const Vec y = _mm512_rcp14_ps(x);
  return y + y * (1.0f - x * y);
#else
  return 1.0f / x;
#endif
}

// x Phi(x). The upper tail Q(|x|) = exp(-x^2 / 2) p(1 / (1 + |x| / 4)), p fitted to absolute errors
// of x Q(x) below 2e-9; in f32 its rounding makes that 7e-8.
static inline Vec gelu(Vec x) {
  // Beyond 1e18 the square would overflow, and the tail is 0 long before. In this order a NaN stays
  // one.
  const Vec z = vmin(splat(100.0f), vmax(x, -x));
  const Vec u = reciprocal(1.0f + 0.25f * z);
  Vec p = splat(-0.0907057598f);
  p = p * u + 0.336361617f;
  p = p * u - 0.254493356f;
  p = p * u + 0.265621185f;
  p = p * u + 0.0354698561f;
  p = p * u + 0.108364359f;
  p = p * u + 0.0993821025f;
  const Vec tail = z * (p * u) * exp_of(-0.5f * z * z);
  return vmax(x, Vec{}) - tail;
}

// x / (1 + exp(-1.702 x)), with an exponent that never grows.
static inline Vec quick_gelu(Vec x) {
  const Vec z = vmax(x, -x);
  const Vec e = exp_of(-1.702f * z);
  return x * (x < 0.0f ? e : splat(1.0f)) / (1.0f + e);
}

template <Activation kAct>
static inline Vec activate(Vec v) {
  if (kAct == Activation::kGelu) return gelu(v);
  if (kAct == Activation::kQuickGelu) return quick_gelu(v);
  if (kAct == Activation::kLeakyRelu) return v < 0.0f ? 0.01f * v : v;
  return v;
}

}  // namespace ACD_ISA
}  // namespace acd
