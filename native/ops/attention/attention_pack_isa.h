// Keys and queries of one head on their way from bf16 to what the products read, above all their
// 8-bit codes for vpdpbusd. Included by attention_bf16_isa.cc alone.
#pragma once

#include <immintrin.h>

#include "backend/cpu/simd.h"
#include "ops/attention/attention.h"

namespace acd {
namespace ACD_ISA {

constexpr int kHeadVecs = static_cast<int>(kHeadWidth) / kLanes;
constexpr int kHeadFours = static_cast<int>(kHeadWidth) / 4;  // words of codes of a token
// Under it nothing is left of a row, nor is the inverse of its step finite.
constexpr float kSmallestTop = 1e-30f;

// rows[i][j] = what rows[j][i] was.
static inline void transpose(__m512i (&rows)[kLanes]) {
  __m512i pairs[kLanes], fours[kLanes];
#pragma GCC unroll 8
  for (int i = 0; i < kLanes; i += 2) {
    pairs[i] = _mm512_unpacklo_epi32(rows[i], rows[i + 1]);
    pairs[i + 1] = _mm512_unpackhi_epi32(rows[i], rows[i + 1]);
  }
#pragma GCC unroll 8
  for (int i = 0; i < kLanes; i += 4) {
    fours[i] = _mm512_unpacklo_epi64(pairs[i], pairs[i + 2]);
    fours[i + 1] = _mm512_unpackhi_epi64(pairs[i], pairs[i + 2]);
    fours[i + 2] = _mm512_unpacklo_epi64(pairs[i + 1], pairs[i + 3]);
    fours[i + 3] = _mm512_unpackhi_epi64(pairs[i + 1], pairs[i + 3]);
  }
  // fours[4 a + b] has column 4 c + b of rows 4 a to 4 a + 3 in its quarter c.
#pragma GCC unroll 4
  for (int b = 0; b < 4; ++b) {
    const __m512i low = _mm512_shuffle_i32x4(fours[b], fours[4 + b], 0x88);
    const __m512i high = _mm512_shuffle_i32x4(fours[8 + b], fours[12 + b], 0x88);
    const __m512i low_odd = _mm512_shuffle_i32x4(fours[b], fours[4 + b], 0xdd);
    const __m512i high_odd = _mm512_shuffle_i32x4(fours[8 + b], fours[12 + b], 0xdd);
    rows[b] = _mm512_shuffle_i32x4(low, high, 0x88);
    rows[4 + b] = _mm512_shuffle_i32x4(low_odd, high_odd, 0x88);
    rows[8 + b] = _mm512_shuffle_i32x4(low, high, 0xdd);
    rows[12 + b] = _mm512_shuffle_i32x4(low_odd, high_odd, 0xdd);
  }
}

// A step of codes -127..127 for values up to `top`, and what values are multiplied with. `strange`
// is 0, or NaN: then so is the step, whatever `top` is.
struct Step {
  Step(float top, float strange)
      : size(top < kSmallestTop ? 0.0f + strange : top * (1.0f / 127.0f) + strange),
        inverse(top < kSmallestTop ? 0.0f : 127.0f / top) {}
  float size;
  float inverse;
};

static inline __m128i codes_of(__m512 v, float inverse, int zero) {
  const __m512i codes = _mm512_cvtps_epi32(_mm512_mul_ps(v, _mm512_set1_ps(inverse)));
  return _mm512_cvtepi32_epi8(_mm512_add_epi32(codes, _mm512_set1_epi32(zero)));
}

// A row's 64 values.
struct HeadRow {
  __m512 v[kHeadVecs];
  explicit HeadRow(const uint16_t* x) {
#pragma GCC unroll 4
    for (int j = 0; j < kHeadVecs; ++j) v[j] = static_cast<__m512>(load_bf16(x + j * kLanes));
  }
  // 64 codes in order: their sums with `zero`.
  __m512i codes(float inverse, int zero) const {
    __m512i all = _mm512_castsi128_si512(codes_of(v[0], inverse, zero));
    all = _mm512_inserti32x4(all, codes_of(v[1], inverse, zero), 1);
    all = _mm512_inserti32x4(all, codes_of(v[2], inverse, zero), 2);
    return _mm512_inserti32x4(all, codes_of(v[3], inverse, zero), 3);
  }
};

// A query's codes over 128, to[0..16), and their step, NaN where the query has no finite numbers.
static inline float code_query(const uint16_t* q, uint32_t* to) {
  const HeadRow row(q);
  __m512 top = _mm512_setzero_ps(), strange = _mm512_setzero_ps();
#pragma GCC unroll 4
  for (int j = 0; j < kHeadVecs; ++j) {
    top = _mm512_max_ps(top, _mm512_abs_ps(row.v[j]));
    strange = _mm512_add_ps(strange, _mm512_sub_ps(row.v[j], row.v[j]));
  }
  const Step step(_mm512_reduce_max_ps(top), _mm512_reduce_add_ps(strange));
  _mm512_storeu_si512(to, row.codes(step.inverse, 128));
  return step.size;
}

// The mean of a head's keys.
struct KeyMean {
  __m512 v[kHeadVecs];
  float strange;  // 0, or NaN where a key has no finite numbers
  KeyMean(const uint16_t* k, int64_t stride, int64_t tokens) {
    for (__m512& sum : v) sum = _mm512_setzero_ps();
    for (int64_t t = 0; t < tokens; ++t) {
      const HeadRow key(k + t * stride);
#pragma GCC unroll 4
      for (int j = 0; j < kHeadVecs; ++j) v[j] = _mm512_add_ps(v[j], key.v[j]);
    }
    __m512 odd = _mm512_setzero_ps();
    for (__m512& sum : v) {
      sum = _mm512_mul_ps(sum, _mm512_set1_ps(1.0f / static_cast<float>(tokens)));
      odd = _mm512_add_ps(odd, _mm512_sub_ps(sum, sum));
    }
    strange = sum_lanes(odd);
  }
  HeadRow less(const uint16_t* k) const {
    HeadRow key(k);
#pragma GCC unroll 4
    for (int j = 0; j < kHeadVecs; ++j) key.v[j] = _mm512_sub_ps(key.v[j], v[j]);
    return key;
  }
};

// `count` keys less their mean as columns of a panel `wide` keys wide: to[i][key] = codes 4 i to
// 4 i + 3 of that key, zero beyond `count`; zeros[key] = -128 times the sum of a key's codes.
// Returns their step.
static inline float code_keys(const uint16_t* k, int64_t stride, int64_t count, int wide,
                              const KeyMean& mean, uint32_t* to, int32_t* zeros) {
  __m512 top = _mm512_setzero_ps();
  for (int64_t t = 0; t < count; ++t) {
    const HeadRow key = mean.less(k + t * stride);
#pragma GCC unroll 4
    for (int j = 0; j < kHeadVecs; ++j) top = _mm512_max_ps(top, _mm512_abs_ps(key.v[j]));
  }
  const Step step(_mm512_reduce_max_ps(top), mean.strange);
  for (int first = 0; first < wide; first += kLanes) {
    __m512i rows[kLanes];
#pragma GCC unroll 16
    for (int i = 0; i < kLanes; ++i) {
      rows[i] = first + i < count ? mean.less(k + (first + i) * stride).codes(step.inverse, 0)
                                  : _mm512_setzero_si512();
    }
    transpose(rows);
    __m512i sum = _mm512_setzero_si512();
#pragma GCC unroll 16
    for (int i = 0; i < kHeadFours; ++i) {
      sum = _mm512_dpbusd_epi32(sum, _mm512_set1_epi8(1), rows[i]);
      _mm512_storeu_si512(to + i * wide + first, rows[i]);
    }
    _mm512_storeu_si512(zeros + first,
                        _mm512_sub_epi32(_mm512_setzero_si512(), _mm512_slli_epi32(sum, 7)));
  }
  return step.size;
}

}  // namespace ACD_ISA
}  // namespace acd
