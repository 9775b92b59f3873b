// Fused attention of one head in bf16, on vdpbf16ps: two products and two sums a lane.
//
// K and V are copied once per head into panels of pairs, as the instruction wants them: K as
// [panel][pair of d][key] (a row's pairs are neighbours in memory already), V as [pair of keys][d].
// Then, for every group of kRows queries: scores of all keys in f32 and their maxima, softmax in
// place, whose weights shrink to bf16 as they are written, product with V in registers from the
// first key to the last. The weights of a group are made between the products of the group before
// it: they wait for additions and for each other where products wait for the multipliers. Scores of
// two groups lie in L2; no T x T matrix exists. The weights are summed after they were rounded, so
// an output is a weighted mean of values and nothing else.
//
// With int8_scores q and k become 8-bit codes as they are copied, vpdpbusd multiplies four a lane,
// and everything from the scores on is the same.
//
// A row's result does not depend on which rows share its group: every row sees the same operations
// in the same order.
#include <immintrin.h>

#include "backend/cpu/simd.h"
#include "ops/attention/attention_isa.h"
#include "ops/attention/attention_pack_isa.h"

namespace acd {
namespace ACD_ISA {
namespace {

constexpr int kD = static_cast<int>(kHeadWidth);
constexpr int kPairs = kD / 2;
constexpr int kRows = 6;  // accumulators: 6 x 4 of 32 registers
constexpr int kVecs = 4;
constexpr int kPanel = kVecs * kLanes;  // keys of a panel
// Floats between rows of scores beyond the keys: rows a power of two apart would share cache sets.
constexpr int kGap = 16;
constexpr float kScale = 0.125f * 1.44269504f;  // of scores, for weights as powers of two

struct Layout {
  int64_t padded;  // tokens rounded up to panels
  uint32_t* k;     // [padded / kPanel][kPairs][kPanel]; of codes [padded / kPanel][16][kPanel]
  uint32_t* v;     // [padded / 2][kD]
  uint32_t* q;     // [kRows][kPairs]; of codes [kRows][16]
  float* s;        // [2][kRows][padded + kGap]; a row's weights replace its scores from the left
  // Of codes alone.
  int32_t* zeros;  // [padded], what belongs to every sum of codes because a query's 0 is 128
  float* k_step;   // [padded / kPanel]
  float* q_step;   // [kRows]
};

// kRows queries on their way: at first s holds their scores, then their weights.
struct Group {
  float* s;
  int64_t stride;
  int64_t first;  // row
  int64_t rows;   // of kRows; the others repeat the last one
  int64_t keys;   // that any row sees
  int64_t seen;   // that the first row sees
  bool causal;
  float top[kRows][kLanes];  // maxima of scores
  float shift[kRows];
  float sum[kRows][kLanes];
};

inline int64_t round_up(int64_t n, int64_t to) { return (n + to - 1) / to * to; }

Layout layout_of(int64_t tokens, void* scratch) {
  Layout l;
  l.padded = round_up(tokens, kPanel);
  l.k = static_cast<uint32_t*>(scratch);
  l.v = l.k + l.padded * kPairs;
  l.q = l.v + l.padded / 2 * kD;
  l.s = reinterpret_cast<float*>(l.q + kRows * kPairs);
  l.zeros = reinterpret_cast<int32_t*>(l.s + 2 * kRows * (l.padded + kGap));
  l.k_step = reinterpret_cast<float*>(l.zeros + l.padded);
  l.q_step = l.k_step + l.padded / kPanel;
  return l;
}

// 16 keys as columns: to[i][key] = pair i of that key; keys beyond `count` are zero.
inline void transpose_keys(const uint16_t* k, int64_t stride, int64_t count, uint32_t* to) {
  for (int half = 0; half < kPairs; half += kLanes) {
    __m512i rows[kLanes];
#pragma GCC unroll 16
    for (int key = 0; key < kLanes; ++key) {
      rows[key] =
          key < count ? _mm512_loadu_si512(k + key * stride + 2 * half) : _mm512_setzero_si512();
    }
    transpose(rows);
#pragma GCC unroll 16
    for (int i = 0; i < kLanes; ++i) _mm512_storeu_si512(to + (half + i) * kPanel, rows[i]);
  }
}

// Two rows interleaved: to[d] = the pair of their d.
inline void interleave_values(const uint16_t* v, const uint16_t* partner, uint32_t* to) {
  for (int d = 0; d < kD; d += kLanes) {
    const auto load16 = [&](const uint16_t* row) {
      return _mm512_cvtepu16_epi32(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(row + d)));
    };
    __m512i pair = load16(v);
    if (partner) pair = _mm512_or_si512(pair, _mm512_slli_epi32(load16(partner), 16));
    _mm512_storeu_si512(to + d, pair);
  }
}

template <bool kInt8>
void pack_keys(const uint16_t* k, int64_t stride, int64_t tokens, const Layout& l) {
  if (kInt8) {
    const KeyMean mean(k, stride, tokens);
    for (int64_t t = 0; t < tokens; t += kPanel) {
      const int64_t count = tokens - t < kPanel ? tokens - t : kPanel;
      l.k_step[t / kPanel] =
          code_keys(k + t * stride, stride, count, kPanel, mean, l.k + t * kHeadFours, l.zeros + t);
    }
    return;
  }
  for (int64_t t = 0; t < l.padded; t += kLanes) {
    transpose_keys(k + t * stride, stride, tokens - t,
                   l.k + t / kPanel * kPanel * kPairs + t % kPanel);
  }
}

// The partner of an odd last token is zero.
void pack_values(const uint16_t* v, int64_t stride, int64_t tokens, const Layout& l) {
  for (int64_t t = 0; t < tokens; t += 2) {
    interleave_values(v + t * stride, t + 1 < tokens ? v + (t + 1) * stride : nullptr,
                      l.v + t / 2 * kD);
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

// The bits of c 2^(i / 16), less i << 19, for the three c of 1 + 0.69318783 f + 0.24022807 f^2:
// see exp2_of.
alignas(64) constexpr uint32_t kPowers[kLanes] = {
    0x3f800000, 0x3f7daac3, 0x3f7b95c2, 0x3f79c3d3, 0x3f7837f0, 0x3f76f532, 0x3f75fed7, 0x3f75583f,
    0x3f7504f3, 0x3f7508a4, 0x3f75672a, 0x3f76248c, 0x3f7744fd, 0x3f78ccdf, 0x3f7ac0c7, 0x3f7d257d};
alignas(64) constexpr uint32_t kSlopes[kLanes] = {
    0x3f3174c2, 0x3f315010, 0x3f318469, 0x3f3215c1, 0x3f330834, 0x3f34600f, 0x3f3621cf, 0x3f385226,
    0x3f3af5f7, 0x3f3b0930, 0x3f38d65c, 0x3f36e54a, 0x3f3538e1, 0x3f33d42d, 0x3f32ba5b, 0x3f31eeba};
alignas(64) constexpr uint32_t kBends[kLanes] = {
    0x3e75fe59, 0x3e78713b, 0x3e762102, 0x3e74113c, 0x3e7244c5, 0x3e70be98, 0x3e6f81d0, 0x3e6e91ae,
    0x3e6df197, 0x3e6da515, 0x3e6dafdc, 0x3e6e15ca, 0x3e6edae7, 0x3e70036b, 0x3e7193bb, 0x3e739071};

inline __m512 power_of(const uint32_t* table, __m512i n, __m512i exponent) {
  return _mm512_castsi512_ps(
      _mm512_add_epi32(_mm512_permutexvar_epi32(n, _mm512_load_si512(table)), exponent));
}

// 2^x for x < 100, relative error below 1e-6; below -120 it is 2^-120. The nearest sixteenth is
// exact: its fraction comes from a table, its integer goes to the exponent, in one addition. A
// parabola has the rest, whose coefficients are multiplied with that power by the same tables: all
// but two operations stay off the ports that multiply.
inline __m512 exp2_of(__m512 x) {
  x = _mm512_max_ps(_mm512_set1_ps(-120.0f), x);           // in this order a NaN stays one
  const __m512 to_sixteenths = _mm512_set1_ps(786432.0f);  // 1.5 * 2^19
  const __m512 shifted = _mm512_add_ps(x, to_sixteenths);
  const __m512 f = _mm512_sub_ps(x, _mm512_sub_ps(shifted, to_sixteenths));
  const __m512i n = _mm512_castps_si512(shifted), exponent = _mm512_slli_epi32(n, 19);
  const __m512 slope =
      _mm512_fmadd_ps(f, power_of(kBends, n, exponent), power_of(kSlopes, n, exponent));
  return _mm512_fmadd_ps(f, slope, power_of(kPowers, n, exponent));
}

inline __mmask16 first_lanes(int64_t n) {
  return n >= kLanes ? 0xffff : static_cast<__mmask16>((1u << (n > 0 ? n : 0)) - 1);
}

inline int64_t seen_by(const Group& g, int64_t r) {
  const int64_t seen = g.seen + (g.causal ? r : 0);
  return seen < g.keys ? seen : g.keys;
}

// A row's scores from key c on: its sums, scaled; top[r] becomes the larger of itself and them,
// when asked. A plain store of a sum would keep the multipliers waiting for as long as the scaling
// takes.
template <int Vecs, bool Top>
inline void keep_scores(const __m512 (&sums)[Vecs], float scale, int r, int64_t c, Group& g) {
  __m512 top = _mm512_loadu_ps(g.top[r]);
#pragma GCC unroll 4
  for (int j = 0; j < Vecs; ++j) {
    const __m512 score = _mm512_mul_ps(sums[j], _mm512_set1_ps(scale));
    _mm512_storeu_ps(g.s + r * g.stride + c + j * kLanes, score);
    top = _mm512_max_ps(top, score);
  }
  if (Top) _mm512_storeu_ps(g.top[r], top);
}

// Scores of a group with the keys from c on, of one panel.
template <bool kInt8, int Vecs, bool Top>
inline void score_panel(const Layout& l, int64_t c, Group& g) {
  if constexpr (kInt8) {
    const uint32_t* panel = l.k + c * kHeadFours;
    VecI acc[kRows][Vecs] = {};  // as __m512i GCC 12 keeps them in memory
    for (int64_t i = 0; i < kHeadFours; ++i) {
      __m512i column[Vecs];
#pragma GCC unroll 4
      for (int j = 0; j < Vecs; ++j)
        column[j] = _mm512_loadu_si512(panel + i * kPanel + j * kLanes);
#pragma GCC unroll 6
      for (int r = 0; r < kRows; ++r) {
        const __m512i row = _mm512_set1_epi32(static_cast<int>(l.q[r * kHeadFours + i]));
#pragma GCC unroll 4
        for (int j = 0; j < Vecs; ++j)
          acc[r][j] = reinterpret_cast<VecI>(
              _mm512_dpbusd_epi32(reinterpret_cast<__m512i>(acc[r][j]), row, column[j]));
      }
    }
    const float step = kScale * l.k_step[c / kPanel];
#pragma GCC unroll 6
    for (int r = 0; r < kRows; ++r) {
      __m512 sums[Vecs];
#pragma GCC unroll 4
      for (int j = 0; j < Vecs; ++j) {
        const __m512i zero = _mm512_loadu_si512(l.zeros + c + j * kLanes);
        sums[j] = _mm512_cvtepi32_ps(_mm512_add_epi32(reinterpret_cast<__m512i>(acc[r][j]), zero));
      }
      keep_scores<Vecs, Top>(sums, step * l.q_step[r], r, c, g);
    }
  } else {
    __m512 acc[kRows][Vecs] = {};
    multiply<Vecs>(acc, l.q, kPairs, l.k + c * kPairs, kPairs);
#pragma GCC unroll 6
    for (int r = 0; r < kRows; ++r) keep_scores<Vecs, Top>(acc[r], kScale, r, c, g);
  }
}

// Scores of a group, and the shift of every row: its largest score.
template <bool kInt8>
void score(const Layout& l, Group& g) {
  const __m512 low = _mm512_set1_ps(-__builtin_inff());
  for (int r = 0; r < kRows; ++r) {
    _mm512_storeu_ps(g.top[r], low);
    _mm512_storeu_ps(g.sum[r], _mm512_setzero_ps());
  }
  int64_t c = 0;
  for (; c + kPanel <= g.seen; c += kPanel) score_panel<kInt8, kVecs, true>(l, c, g);
  const int64_t full = c;
  for (; c < g.keys; c += kPanel) {
    const int64_t vecs = (g.keys - c + kLanes - 1) / kLanes;
    if (vecs >= 4)
      score_panel<kInt8, 4, false>(l, c, g);
    else if (vecs == 3)
      score_panel<kInt8, 3, false>(l, c, g);
    else if (vecs == 2)
      score_panel<kInt8, 2, false>(l, c, g);
    else
      score_panel<kInt8, 1, false>(l, c, g);
  }
  for (int r = 0; r < kRows; ++r) {
    __m512 top = _mm512_loadu_ps(g.top[r]);
    for (int64_t i = full; i < seen_by(g, r); i += kLanes) {
      const __mmask16 seen = first_lanes(seen_by(g, r) - i);
      top = _mm512_max_ps(top, _mm512_mask_loadu_ps(low, seen, g.s + r * g.stride + i));
    }
    g.shift[r] = _mm512_reduce_max_ps(top);
  }
}

// 16 weights of a row in place of its scores, of which it sees the first `seen`; sum += them.
template <bool Masked>
inline __m512 weigh(Group& g, int r, int64_t key, int64_t seen, __m512 sum) {
  float* s = g.s + r * g.stride;
  __m512 w = exp2_of(_mm512_sub_ps(_mm512_loadu_ps(s + key), _mm512_set1_ps(g.shift[r])));
  if (Masked) w = _mm512_maskz_mov_ps(first_lanes(seen), w);
  const auto half = reinterpret_cast<__m256i>(_mm512_cvtneps_pbh(w));
  _mm256_storeu_si256(reinterpret_cast<__m256i*>(reinterpret_cast<uint16_t*>(s) + key), half);
  const __m512i wide = _mm512_slli_epi32(_mm512_cvtepu16_epi32(half), 16);
  return _mm512_add_ps(sum, _mm512_castsi512_ps(wide));
}

// The weights from key `first` on.
void weigh_rest(Group& g, int64_t first) {
  for (int r = 0; r < kRows; ++r) {
    const int64_t seen = seen_by(g, r);
    __m512 sum = _mm512_loadu_ps(g.sum[r]);
    for (int64_t i = first; i < g.keys; i += kLanes) sum = weigh<true>(g, r, i, seen - i, sum);
    _mm512_storeu_ps(g.sum[r], sum);
  }
}

// out = weights V / sum of the weights, for a group; meanwhile the weights of the next one, if
// there is one, from its scores.
void add_values(const Layout& l, const Group& g, Group* next, uint16_t* out, int64_t out_stride) {
  __m512 acc[kRows][kVecs] = {};
  const auto* weights = reinterpret_cast<const uint32_t*>(g.s);
  int64_t full = 0;  // keys of panels that are whole in both
  if (next) full = (g.keys < next->seen ? g.keys : next->seen) / kPanel * kPanel;
  for (int64_t c = 0; c < full; c += kPanel) {
    // A weight takes as many additions as a product of pairs takes time.
    constexpr int kSteps = kPanel / 2 / kRows;
    int64_t pair = c / 2;
    for (int r = 0; r < kRows; ++r) {
      __m512 sum = _mm512_loadu_ps(next->sum[r]);
#pragma GCC unroll 5
      for (int j = 0; j < kSteps; ++j, ++pair) {
        multiply<kVecs>(acc, weights + pair, g.stride, l.v + pair * kD, 1);
        if (j < kVecs) sum = weigh<false>(*next, r, c + j * kLanes, 0, sum);
      }
      _mm512_storeu_ps(next->sum[r], sum);
    }
    multiply<kVecs>(acc, weights + pair, g.stride, l.v + pair * kD, (c + kPanel) / 2 - pair);
  }
  if (next) weigh_rest(*next, full);
  multiply<kVecs>(acc, weights + full / 2, g.stride, l.v + full / 2 * kD,
                  (g.keys + 1) / 2 - full / 2);
  for (int64_t r = 0; r < kRows; ++r) {
    if (r >= g.rows) break;
    const float sum = _mm512_reduce_add_ps(_mm512_loadu_ps(g.sum[r]));
    const __m512 inverse = _mm512_set1_ps(1.0f / sum);
    for (int j = 0; j < kVecs; ++j) {
      const __m256bh half = _mm512_cvtneps_pbh(_mm512_mul_ps(acc[r][j], inverse));
      _mm256_storeu_si256(reinterpret_cast<__m256i*>(out + (g.first + r) * out_stride + j * kLanes),
                          reinterpret_cast<__m256i>(half));
    }
  }
}

// Rows beyond the group's repeat its last one: they cost what they would as zeros.
template <bool kInt8>
void copy_queries(const uint16_t* q, int64_t stride, int64_t rows, const Layout& l) {
  for (int64_t r = 0; r < kRows; ++r) {
    const uint16_t* row = q + (r < rows ? r : rows - 1) * stride;
    if (kInt8)
      l.q_step[r] = code_query(row, l.q + r * kHeadFours);
    else
      memcpy(l.q + r * kPairs, row, kPairs * sizeof(uint32_t));
  }
}

template <bool kInt8>
void attend(const AttentionParams& p, int64_t item, int64_t head, int64_t row_begin,
            int64_t row_end, void* scratch) {
  const int64_t width = p.heads * kD;
  const int64_t stride = 3 * width;
  const uint16_t* q = static_cast<const uint16_t*>(p.qkv) + item * p.tokens * stride + head * kD;
  uint16_t* out = static_cast<uint16_t*>(p.out) + item * p.tokens * width + head * kD;
  const Layout l = layout_of(p.tokens, scratch);
  pack_keys<kInt8>(q + width, stride, p.tokens, l);
  pack_values(q + 2 * width, stride, p.tokens, l);
  Group groups[2];
  Group* before = nullptr;
  for (int64_t row = row_begin; row < row_end; row += kRows) {
    Group& g = groups[before == groups];
    g.stride = l.padded + kGap;
    g.s = l.s + (&g - groups) * kRows * g.stride;
    g.first = row;
    g.rows = row_end - row < kRows ? row_end - row : kRows;
    g.causal = p.causal;
    g.keys = p.causal ? row + g.rows : p.tokens;
    g.seen = p.causal ? row + 1 : p.tokens;
    copy_queries<kInt8>(q + row * stride, stride, g.rows, l);
    score<kInt8>(l, g);
    if (before)
      add_values(l, *before, &g, out, width);
    else
      weigh_rest(g, 0);
    before = &g;
  }
  if (before) add_values(l, *before, nullptr, out, width);
}

}  // namespace

size_t attention_scratch_bytes(int64_t tokens) {
  const int64_t padded = round_up(tokens, kPanel);
  return static_cast<size_t>(padded * kPairs + padded / 2 * kD + kRows * kPairs +
                             2 * kRows * (padded + kGap) + padded + padded / kPanel + kRows) *
         sizeof(uint32_t);
}

void attention_head(const AttentionParams& p, int64_t item, int64_t head, int64_t row_begin,
                    int64_t row_end, void* scratch) {
  const auto kernel = p.int8_scores ? attend<true> : attend<false>;
  kernel(p, item, head, row_begin, row_end, scratch);
}

}  // namespace ACD_ISA
}  // namespace acd
