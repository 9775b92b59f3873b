// Fused attention of one head in bf16, on vdpbf16ps: two products and two sums a lane.
//
// K and V are copied once per head into panels of pairs, as the instruction wants them: K as
// [panel][pair of d][key] (a row's pairs are neighbours in memory already), V as [pair of keys][d].
// Then, for every block of kBlockRows queries: scores of all keys in f32, softmax in place, whose
// weights shrink to bf16 as they are written, product with V in registers from the first key to the
// last. Scores of a block lie in L2; no T x T matrix exists. The weights are summed after they were
// rounded, so an output is a weighted mean of values and nothing else.
//
// A row's result does not depend on which rows share its block: every row sees the same operations
// in the same order.
#include <immintrin.h>

#include "backend/cpu/simd.h"
#include "ops/attention/attention_isa.h"

namespace acd {
namespace ACD_ISA {
namespace {

constexpr int kD = static_cast<int>(kHeadWidth);
constexpr int kPairs = kD / 2;
constexpr int kRows = 6;  // accumulators: 6 x 4 of 32 registers
constexpr int kVecs = 4;
constexpr int kPanel = kVecs * kLanes;  // keys of a panel
constexpr int kBlockRows = 4 * kRows;
// Floats between rows of scores beyond the keys: rows a power of two apart would share cache sets.
constexpr int kGap = 16;

struct Layout {
  int64_t padded;  // tokens rounded up to panels
  uint32_t* k;     // [padded / kPanel][kPairs][kPanel]
  uint32_t* v;     // [padded / 2][kD]
  uint32_t* q;     // [kBlockRows][kPairs]
  float* s;        // [kBlockRows][padded + kGap]; a row's weights replace its scores from the left
};

inline int64_t round_up(int64_t n, int64_t to) { return (n + to - 1) / to * to; }

Layout layout_of(int64_t tokens, void* scratch) {
  Layout l;
  l.padded = round_up(tokens, kPanel);
  l.k = static_cast<uint32_t*>(scratch);
  l.v = l.k + l.padded * kPairs;
  l.q = l.v + l.padded / 2 * kD;
  l.s = reinterpret_cast<float*>(l.q + kBlockRows * kPairs);
  return l;
}

// 16 keys as columns: to[i][key] = pair i of that key; keys beyond `count` are zero.
inline void transpose_keys(const uint16_t* k, int64_t stride, int64_t count, uint32_t* to) {
  for (int64_t key = 0; key < kLanes; ++key) {
    uint32_t row[kPairs] = {};
    if (key < count) memcpy(row, k + key * stride, sizeof row);
    for (int i = 0; i < kPairs; ++i) to[i * kPanel + key] = row[i];
  }
}

void pack_keys(const uint16_t* k, int64_t stride, int64_t tokens, const Layout& l) {
  for (int64_t t = 0; t < l.padded; t += kLanes) {
    transpose_keys(k + t * stride, stride, tokens - t,
                   l.k + t / kPanel * kPanel * kPairs + t % kPanel);
  }
}

// Pairs of rows interleaved; the partner of an odd last token is zero.
void pack_values(const uint16_t* v, int64_t stride, int64_t tokens, const Layout& l) {
  for (int64_t t = 0; t < tokens; t += 2) {
    for (int d = 0; d < kD; d += kLanes) {
      const auto load16 = [&](int64_t token) {
        return _mm512_cvtepu16_epi32(
            _mm256_loadu_si256(reinterpret_cast<const __m256i*>(v + token * stride + d)));
      };
      __m512i pair = load16(t);
      if (t + 1 < tokens) pair = _mm512_or_si512(pair, _mm512_slli_epi32(load16(t + 1), 16));
      _mm512_storeu_si512(l.v + t / 2 * kD + d, pair);
    }
  }
}

inline __m512bh load_pairs(const uint32_t* p) {
  return reinterpret_cast<__m512bh>(_mm512_loadu_si512(p));
}

inline __m512bh splat_pair(const uint32_t* p) {
  uint32_t pair;
  memcpy(&pair, p, sizeof pair);
  return reinterpret_cast<__m512bh>(_mm512_set1_epi32(static_cast<int>(pair)));
}

// acc[r][j] += rows . columns over `pairs`, a row's pairs `row_stride` words apart.
template <int Vecs>
inline void multiply(__m512 (&acc)[kRows][Vecs], const uint32_t* rows, int64_t row_stride,
                     const uint32_t* columns, int64_t pairs) {
  for (int64_t i = 0; i < pairs; ++i) {
    __m512bh column[Vecs];
    for (int j = 0; j < Vecs; ++j) column[j] = load_pairs(columns + i * kPanel + j * kLanes);
    for (int r = 0; r < kRows; ++r) {
      const __m512bh row = splat_pair(rows + r * row_stride + i);
      for (int j = 0; j < Vecs; ++j) acc[r][j] = _mm512_dpbf16_ps(acc[r][j], row, column[j]);
    }
  }
}

// s[r][0..16 Vecs) = q_r . keys, for kRows rows.
template <int Vecs>
inline void score_panel(const uint32_t* q, const uint32_t* panel, float* s, int64_t stride) {
  __m512 acc[kRows][Vecs] = {};
  multiply<Vecs>(acc, q, kPairs, panel, kPairs);
  for (int r = 0; r < kRows; ++r) {
    for (int j = 0; j < Vecs; ++j) _mm512_storeu_ps(s + r * stride + j * kLanes, acc[r][j]);
  }
}

void score(const Layout& l, int64_t groups, int64_t keys) {
  const int64_t stride = l.padded + kGap;
  for (int64_t c = 0; c < keys; c += kPanel) {
    const uint32_t* panel = l.k + c * kPairs;
    const int64_t vecs = keys - c < kPanel ? (keys - c + kLanes - 1) / kLanes : kVecs;
    for (int64_t g = 0; g < groups; ++g) {
      const uint32_t* q = l.q + g * kRows * kPairs;
      float* s = l.s + g * kRows * stride + c;
      if (vecs == 4)
        score_panel<4>(q, panel, s, stride);
      else if (vecs == 3)
        score_panel<3>(q, panel, s, stride);
      else if (vecs == 2)
        score_panel<2>(q, panel, s, stride);
      else
        score_panel<1>(q, panel, s, stride);
    }
  }
}

// 2^x, relative error below 3e-6: a polynomial of the fraction, scaled by the integer below x.
inline __m512 exp2_of(__m512 x) {
  const __m512 f = _mm512_reduce_ps(x, 0x09);
  __m512 p = _mm512_set1_ps(0.013534168f);
  p = _mm512_fmadd_ps(p, f, _mm512_set1_ps(0.052011461f));
  p = _mm512_fmadd_ps(p, f, _mm512_set1_ps(0.241442756f));
  p = _mm512_fmadd_ps(p, f, _mm512_set1_ps(0.693003835f));
  p = _mm512_fmadd_ps(p, f, _mm512_set1_ps(1.000002593f));
  return _mm512_scalef_ps(p, x);
}

inline __mmask16 first_lanes(int64_t n) {
  return n >= kLanes ? 0xffff : static_cast<__mmask16>((1u << (n > 0 ? n : 0)) - 1);
}

// Weights of one row as bf16, in place from the left; returns their sum. From `keys` to `padded`, a
// multiple of 32, they are zero.
inline float softmax_row(float* s, int64_t keys, int64_t padded) {
  const __m512 low = _mm512_set1_ps(-__builtin_inff());
  __m512 top = low;
  for (int64_t i = 0; i < keys; i += kLanes)
    top = _mm512_max_ps(top, _mm512_mask_loadu_ps(low, first_lanes(keys - i), s + i));
  const __m512 scale = _mm512_set1_ps(0.125f * 1.44269504f);
  const __m512 shift = _mm512_mul_ps(_mm512_set1_ps(_mm512_reduce_max_ps(top)), scale);
  const __m512bh ones = reinterpret_cast<__m512bh>(_mm512_set1_epi32(0x3f803f80));
  auto* to = reinterpret_cast<uint8_t*>(s);
  __m512 sum = _mm512_setzero_ps();
  const auto weights = [&](int64_t i) {
    return exp2_of(_mm512_fmsub_ps(_mm512_loadu_ps(s + i), scale, shift));
  };
  const auto put = [&](int64_t i, __m512 low_half, __m512 high_half) {
    const __m512bh pair = _mm512_cvtne2ps_pbh(high_half, low_half);
    _mm512_storeu_si512(to + i * 2, reinterpret_cast<__m512i>(pair));
    sum = _mm512_dpbf16_ps(sum, pair, ones);
  };
  const int64_t full = keys / (2 * kLanes) * 2 * kLanes;
  for (int64_t i = 0; i < full; i += 2 * kLanes) put(i, weights(i), weights(i + kLanes));
  for (int64_t i = full; i < padded; i += 2 * kLanes) {
    const int64_t left = keys - i;
    put(i, _mm512_maskz_mov_ps(first_lanes(left), weights(i)),
        _mm512_maskz_mov_ps(first_lanes(left - kLanes), weights(i + kLanes)));
  }
  return _mm512_reduce_add_ps(sum);
}

// out[r] = weights_r V / total_r for the first `rows` of kRows rows.
inline void weigh_values(const Layout& l, const float* s, int64_t pairs, const float* total,
                         int64_t rows, uint16_t* out, int64_t out_stride) {
  __m512 acc[kRows][kVecs] = {};
  multiply<kVecs>(acc, reinterpret_cast<const uint32_t*>(s), l.padded + kGap, l.v, pairs);
  for (int64_t r = 0; r < kRows; ++r) {
    if (r >= rows) break;
    const __m512 inverse = _mm512_set1_ps(1.0f / total[r]);
    for (int j = 0; j < kVecs; ++j) {
      const __m256bh half = _mm512_cvtneps_pbh(_mm512_mul_ps(acc[r][j], inverse));
      _mm256_storeu_si256(reinterpret_cast<__m256i*>(out + r * out_stride + j * kLanes),
                          reinterpret_cast<__m256i>(half));
    }
  }
}

// Rows beyond the block's repeat its last one: they cost what they would as zeros.
void copy_queries(const uint16_t* q, int64_t stride, int64_t rows, const Layout& l) {
  for (int64_t r = 0; r < round_up(rows, kRows); ++r) {
    memcpy(l.q + r * kPairs, q + (r < rows ? r : rows - 1) * stride, kPairs * sizeof(uint32_t));
  }
}

void attend_block(const Layout& l, int64_t first_row, int64_t rows, int64_t tokens, bool causal,
                  uint16_t* out, int64_t out_stride) {
  const int64_t groups = (rows + kRows - 1) / kRows;
  const int64_t keys = causal ? first_row + rows : tokens;  // that any row of the block sees
  score(l, groups, keys);
  const int64_t stride = l.padded + kGap;
  for (int64_t g = 0; g < groups; ++g) {
    float total[kRows];
    for (int64_t r = 0; r < kRows; ++r) {
      const int64_t row = first_row + g * kRows + r;
      const int64_t seen = causal && row < keys ? row + 1 : keys;
      total[r] = softmax_row(l.s + (g * kRows + r) * stride, seen, round_up(keys, 2 * kLanes));
    }
    weigh_values(l, l.s + g * kRows * stride, (keys + 1) / 2, total, rows - g * kRows,
                 out + g * kRows * out_stride, out_stride);
  }
}

}  // namespace

size_t attention_scratch_bytes(int64_t tokens) {
  const int64_t padded = round_up(tokens, kPanel);
  return static_cast<size_t>(padded * kPairs + padded / 2 * kD + kBlockRows * kPairs +
                             kBlockRows * (padded + kGap)) *
         sizeof(uint32_t);
}

void attention_head(const AttentionParams& p, int64_t item, int64_t head, int64_t row_begin,
                    int64_t row_end, void* scratch) {
  const int64_t width = p.heads * kD;
  const int64_t stride = 3 * width;
  const uint16_t* q = static_cast<const uint16_t*>(p.qkv) + item * p.tokens * stride + head * kD;
  uint16_t* out = static_cast<uint16_t*>(p.out) + item * p.tokens * width + head * kD;
  const Layout l = layout_of(p.tokens, scratch);
  pack_keys(q + width, stride, p.tokens, l);
  pack_values(q + 2 * width, stride, p.tokens, l);
  for (int64_t row = row_begin; row < row_end; row += kBlockRows) {
    const int64_t rows = row_end - row < kBlockRows ? row_end - row : kBlockRows;
    copy_queries(q + row * stride, stride, rows, l);
    attend_block(l, row, rows, p.tokens, p.causal, out + row * width, width);
  }
}

}  // namespace ACD_ISA
}  // namespace acd
