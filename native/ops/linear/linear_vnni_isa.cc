// u8 x s8 products on vpdpbusd: 6 rows by 64 columns in 24 registers, from the first k to the last,
// then the epilogue from the first-level cache.
//
// Why not oneDNN: 2.6 cannot scale rows, so it would have to write its sums as int32 for a second
// pass; what it fuses (f32 out) runs 5 to 15 % slower than this. Without the pass both reach 750 to
// 820 Gop/s on two Zen 4 cores in ViT-L's shapes, nine tenths of the peak. A panel of weights
// (64 x k) stays in the second-level cache while the tile's rows pass over it; six rows are in the
// first.
//
// Sums are integers, hence exact: nothing of a result depends on how the work was cut.
#include "ops/linear/linear_vnni_isa.h"

#include <immintrin.h>

#include "backend/cpu/simd.h"

namespace acd {
namespace ACD_ISA {
namespace {

constexpr int kRows = 6;
constexpr int kVecs = 4;
static_assert(kVecs * kLanes == kInt8Panel, "a panel is four registers wide");

// c[i][column] = sum over k of x[i] * w, in int32.
template <int M>
inline void multiply(const Int8Tile& t, const uint8_t* x, const int8_t* w,
                     int32_t (*c)[kInt8Panel]) {
  // Unrolled by name: otherwise GCC 12 keeps the accumulators in memory.
  __m512i acc[M][kVecs];
#pragma GCC unroll 6
  for (int i = 0; i < M; ++i) {
#pragma GCC unroll 4
    for (int j = 0; j < kVecs; ++j) acc[i][j] = _mm512_setzero_si512();
  }
  for (int64_t k = 0; k < t.k; k += kInt8Depth) {
    __m512i b[kVecs];
#pragma GCC unroll 4
    for (int j = 0; j < kVecs; ++j) b[j] = _mm512_loadu_si512(w + k * kInt8Panel + j * 64);
#pragma GCC unroll 6
    for (int i = 0; i < M; ++i) {
      int32_t four;
      memcpy(&four, x + i * t.ldx + k, sizeof four);
      const __m512i a = _mm512_set1_epi32(four);
#pragma GCC unroll 4
      for (int j = 0; j < kVecs; ++j) acc[i][j] = _mm512_dpbusd_epi32(acc[i][j], a, b[j]);
    }
  }
#pragma GCC unroll 6
  for (int i = 0; i < M; ++i) {
#pragma GCC unroll 4
    for (int j = 0; j < kVecs; ++j) _mm512_storeu_si512(c[i] + j * kLanes, acc[i][j]);
  }
}

// x Phi(x). The upper tail Q(|x|) = exp(-x^2 / 2) p(1 / (1 + |x| / 4)), p fitted to absolute errors
// of x Q(x) below 2e-9; in f32 its rounding makes that 7e-8.
inline Vec gelu(Vec x) {
  const Vec z = vmax(x, -x);
  const Vec u = 1.0f / (1.0f + 0.25f * z);
  Vec p = splat(-0.0907057598f);
  p = p * u + 0.336361617f;
  p = p * u - 0.254493356f;
  p = p * u + 0.265621185f;
  p = p * u + 0.0354698561f;
  p = p * u + 0.108364359f;
  p = p * u + 0.0993821025f;
  const Vec tail = z * (p * u) * exp_nonpositive(-0.5f * z * z);
  return vmax(x, Vec{}) - tail;
}

// x / (1 + exp(-1.702 x)), with an exponent that never grows.
inline Vec quick_gelu(Vec x) {
  const Vec z = vmax(x, -x);
  const Vec e = exp_nonpositive(-1.702f * z);
  return x * (x < 0.0f ? e : splat(1.0f)) / (1.0f + e);
}

inline Vec activate(Vec v, Activation act) {
  switch (act) {
    case Activation::kNone:
      return v;
    case Activation::kGelu:
      return gelu(v);
    case Activation::kQuickGelu:
      return quick_gelu(v);
    case Activation::kLeakyRelu:
      return v < 0.0f ? 0.01f * v : v;
  }
  return v;
}

inline __mmask16 first_lanes(int64_t n) {
  return static_cast<__mmask16>(n >= kLanes ? 0xffff : (1u << n) - 1);
}

// One row of a panel: columns from `column` on, of the tile.
inline void finish_row(const Int8Tile& t, int64_t row, int64_t column, const int32_t* c) {
  const RowScale r = t.x_rows[row];
  for (int64_t j = 0; j < kInt8Panel && column + j < t.n; j += kLanes) {
    const int64_t at = column + j;
    const __mmask16 mask = first_lanes(t.n - at);
    const Vec sums = _mm512_cvtepi32_ps(_mm512_loadu_si512(c + j));
    Vec v = sums * (r.scale * load(t.scale + at)) + (r.low * load(t.sum + at) + load(t.bias + at));
    if (t.y_type == NumberType::kF32) {
      float* y = static_cast<float*>(t.y) + row * t.ldy + at;
      if (t.accumulate) v += static_cast<Vec>(_mm512_maskz_loadu_ps(mask, y));
      _mm512_mask_storeu_ps(y, mask, activate(v, t.act));
    } else {
      uint16_t* y = static_cast<uint16_t*>(t.y) + row * t.ldy + at;
      store_bf16(y, activate(v, t.act), t.n - at >= kLanes ? kLanes : static_cast<int>(t.n - at));
    }
  }
}

template <int M>
inline void rows_of_panel(const Int8Tile& t, int64_t row, int64_t column) {
  alignas(64) int32_t c[M][kInt8Panel];
  const int64_t depth = (t.k + kInt8Depth - 1) / kInt8Depth * kInt8Depth;
  multiply<M>(t, t.x + row * t.ldx, t.weights + column * depth, c);
  for (int i = 0; i < M; ++i) finish_row(t, row + i, column, c[i]);
}

void last_rows(const Int8Tile& t, int64_t row, int64_t column) {
  switch (t.rows - row) {
    case 1:
      return rows_of_panel<1>(t, row, column);
    case 2:
      return rows_of_panel<2>(t, row, column);
    case 3:
      return rows_of_panel<3>(t, row, column);
    case 4:
      return rows_of_panel<4>(t, row, column);
    case 5:
      return rows_of_panel<5>(t, row, column);
    default:
      return;
  }
}

}  // namespace

void linear_int8_tile(const Int8Tile& t) {
  for (int64_t column = 0; column < t.n; column += kInt8Panel) {
    int64_t row = 0;
    for (; row + kRows <= t.rows; row += kRows) rows_of_panel<kRows>(t, row, column);
    last_rows(t, row, column);
  }
}

}  // namespace ACD_ISA
}  // namespace acd
