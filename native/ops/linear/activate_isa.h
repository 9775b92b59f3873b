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

#if defined(__AVX512F__)
// x Phi(x) by a table: the upper tail Q(|x|) in pieces of a half, each a polynomial of degree 5
// fitted to 2.4e-8; with its rounding, errors are below 6e-8 |x|. A third of gelu's arithmetic, as
// permutations, minima and sums run beside products.
static inline Vec gelu_by_table(Vec x) {
  // [degree][piece], piece i around i / 2.
  alignas(64) static const float kQ[6][kLanes] = {
      {0.5f, 0.308537573f, 0.158655271f, 0.0668071955f, 0.0227501225f, 0.00620966125f,
       0.00134989887f, 0.000232630453f, 3.16718724e-05f, 3.39784515e-06f, 2.86683047e-07f,
       1.89936404e-08f, 9.86972282e-10f, 4.01868469e-11f, 1.28121353e-12f, 3.19640182e-14f},
      {-0.398942262f, -0.352065325f, -0.241970763f, -0.129517615f, -0.0539909601f, -0.0175282881f,
       -0.00443184469f, -0.000872683653f, -0.000133831389f, -1.59841875e-05f, -1.48682079e-06f,
       -1.07713021e-07f, -6.07754025e-09f, -2.67084882e-10f, -9.14215145e-12f, -2.43750712e-13f},
      {-1.47118465e-06f, 0.0880096629f, 0.120980963f, 0.0971395969f, 0.0539939068f, 0.0219115075f,
       0.00664754026f, 0.00152680033f, 0.000267478346f, 3.59139303e-05f, 3.70775638e-06f,
       2.9499796e-07f, 1.8117376e-08f, 8.59919358e-10f, 3.15708432e-11f, 8.97132141e-13f},
      {0.0665136799f, 0.0440066606f, 3.51155791e-06f, -0.0269802753f, -0.0269960091f,
       -0.0153384712f, -0.00590952346f, -0.00163618405f, -0.000334457611f, -5.12359911e-05f,
       -5.93663799e-06f, -5.23468827e-07f, -3.52755123e-08f, -1.82230597e-09f, -7.23304611e-11f,
       -2.20960706e-12f},
      {-0.000158602939f, -0.0198849328f, -0.0199761055f, -0.00613145437f, 0.00437352201f,
       0.00588576077f, 0.00333395018f, 0.00119406811f, 0.000297728053f, 5.38024287e-05f,
       7.1979166e-06f, 7.22111565e-07f, 5.47841097e-08f, 3.1616294e-09f, 1.39390915e-10f,
       4.71008128e-12f},
      {-0.00955250114f, -0.00454354752f, 0.00393784046f, 0.00579950213f, 0.00226394343f,
       -0.000633808027f, -0.0010973725f, -0.00058121531f, -0.000184967299f, -4.00507561e-05f,
       -6.19689126e-06f, -7.02731768e-07f, -5.92979319e-08f, -3.76042486e-09f, -1.80464255e-10f,
       -6.58718999e-12f},
  };
  // The maximum of the range is a piece's middle. In this order a NaN stays one.
  const Vec z = _mm512_min_ps(splat(7.5f), _mm512_abs_ps(x));
  const Vec shifted = z + 6291456.0f;  // 1.5 * 2^22: rounds to a multiple of a half
  const Vec r = z - (shifted - 6291456.0f);
  const __m512i piece = _mm512_castps_si512(shifted);  // in the lowest four bits
  Vec q = _mm512_permutexvar_ps(piece, load(kQ[5]));
#pragma GCC unroll 5
  for (int i = 4; i >= 0; --i)
    q = q * r + static_cast<Vec>(_mm512_permutexvar_ps(piece, load(kQ[i])));
  return vmax(x, Vec{}) - z * q;
}
#endif

// x / (1 + exp(-1.702 x)), with an exponent that never grows.
static inline Vec quick_gelu(Vec x) {
  const Vec z = vmax(x, -x);
  // Where e is 0; far beyond, exp_of's reduction would overflow. In this order a NaN stays one.
  const Vec e = exp_of(vmax(splat(-200.0f), -1.702f * z));
  return x * (x < 0.0f ? e : splat(1.0f)) / (1.0f + e);
}

template <Activation kAct>
static inline Vec activate(Vec v) {
  if (kAct == Activation::kGelu) return gelu(v);
  if (kAct == Activation::kQuickGelu) return quick_gelu(v);
  if (kAct == Activation::kLeakyRelu) return v < 0.0f ? 0.01f * v : v;
  return v;
}

template <Activation kAct>
struct ActivationIs {
  static constexpr Activation value = kAct;
};

// pick(ActivationIs<act>()): where an activation becomes the argument of a template.
template <typename Pick>
static inline auto with_activation(Activation act, Pick pick) {
  switch (act) {
    case Activation::kGelu:
      return pick(ActivationIs<Activation::kGelu>());
    case Activation::kQuickGelu:
      return pick(ActivationIs<Activation::kQuickGelu>());
    case Activation::kLeakyRelu:
      return pick(ActivationIs<Activation::kLeakyRelu>());
    case Activation::kNone:
      break;
  }
  return pick(ActivationIs<Activation::kNone>());
}

}  // namespace ACD_ISA
}  // namespace acd
