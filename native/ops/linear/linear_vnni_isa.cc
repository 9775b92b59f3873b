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
#include "ops/linear/activate_isa.h"

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

inline __mmask16 first_lanes(int64_t n) {
  return static_cast<__mmask16>(n >= kLanes ? 0xffff : (1u << n) - 1);
}

inline void store_bf16(uint16_t* p, Vec v, __mmask16 mask) {
  const __m512i bits = _mm512_castps_si512(v);
  const __m512i odd = _mm512_and_si512(_mm512_srli_epi32(bits, 16), _mm512_set1_epi32(1));
  const __m512i sum = _mm512_add_epi32(_mm512_add_epi32(bits, odd), _mm512_set1_epi32(0x7fff));
  const __mmask16 nan = _mm512_cmp_ps_mask(v, v, _CMP_UNORD_Q);
  const __m512i rounded =
      _mm512_mask_or_epi32(sum, nan, bits, _mm512_set1_epi32(0x400000));  // a quiet one
  _mm256_mask_storeu_epi16(p, mask, _mm512_cvtepi32_epi16(_mm512_srli_epi32(rounded, 16)));
}

enum class Output { kBf16, kF32, kF32Sum };

// `rows` rows of a panel: sums to numbers, the activation, y.
template <Output kOut, Activation kAct>
void finish(const Int8Tile& t, int64_t row, int rows, int64_t column,
            const int32_t (*c)[kInt8Panel]) {
  for (int64_t j = 0; j < kInt8Panel && column + j < t.n; j += kLanes) {
    const int64_t at = column + j;
    const __mmask16 mask = first_lanes(t.n - at);
    const Vec scale = load(t.scale + at), sum = load(t.sum + at), bias = load(t.bias + at);
    for (int i = 0; i < rows; ++i) {
      const RowScale r = t.x_rows[row + i];
      const Vec products = _mm512_cvtepi32_ps(_mm512_loadu_si512(c[i] + j));
      Vec v = products * (r.scale * scale) + (r.low * sum + bias);
      if (kOut == Output::kBf16) {
        store_bf16(static_cast<uint16_t*>(t.y) + (row + i) * t.ldy + at, activate<kAct>(v), mask);
      } else {
        float* y = static_cast<float*>(t.y) + (row + i) * t.ldy + at;
        if (kOut == Output::kF32Sum) v += static_cast<Vec>(_mm512_maskz_loadu_ps(mask, y));
        _mm512_mask_storeu_ps(y, mask, activate<kAct>(v));
      }
    }
  }
}

using Finish = void (*)(const Int8Tile&, int64_t, int, int64_t, const int32_t (*)[kInt8Panel]);

template <Output kOut>
Finish finish_for(Activation act) {
  return with_activation(act, [](auto a) -> Finish { return finish<kOut, decltype(a)::value>; });
}

Finish finish_for(const Int8Tile& t) {
  if (t.y_type == NumberType::kBf16) return finish_for<Output::kBf16>(t.act);
  return t.accumulate ? finish_for<Output::kF32Sum>(t.act) : finish_for<Output::kF32>(t.act);
}

using Sums = int32_t[kRows][kInt8Panel];

// The last rows % kRows of a panel.
void multiply_last(const Int8Tile& t, int rows, const uint8_t* x, const int8_t* w, Sums& c) {
  switch (rows) {
    case 1:
      return multiply<1>(t, x, w, c);
    case 2:
      return multiply<2>(t, x, w, c);
    case 3:
      return multiply<3>(t, x, w, c);
    case 4:
      return multiply<4>(t, x, w, c);
    case 5:
      return multiply<5>(t, x, w, c);
    default:
      return;
  }
}

}  // namespace

void linear_int8_tile(const Int8Tile& t) {
  const Finish finish = finish_for(t);
  const int64_t depth = (t.k + kInt8Depth - 1) / kInt8Depth * kInt8Depth;
  alignas(64) Sums c;
  for (int64_t column = 0; column < t.n; column += kInt8Panel) {
    const int8_t* w = t.weights + column * depth;
    int64_t row = 0;
    for (; row + kRows <= t.rows; row += kRows) {
      multiply<kRows>(t, t.x + row * t.ldx, w, c);
      finish(t, row, kRows, column, c);
    }
    const auto rest = static_cast<int>(t.rows - row);
    if (rest == 0) continue;
    multiply_last(t, rest, t.x + row * t.ldx, w, c);
    finish(t, row, rest, column, c);
  }
}

}  // namespace ACD_ISA
}  // namespace acd
