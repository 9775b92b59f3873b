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
// A row's result does not depend on which rows share its group: every row sees the same operations
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
// Floats between rows of scores beyond the keys: rows a power of two apart would share cache sets.
constexpr int kGap = 16;
constexpr float kScale = 0.125f * 1.44269504f;  // of scores, for weights as powers of two

struct Layout {
  int64_t padded;  // tokens rounded up to panels
  uint32_t* k;     // [padded / kPanel][kPairs][kPanel]
  uint32_t* v;     // [padded / 2][kD]
  uint32_t* q;     // [kRows][kPairs]
  float* s;        // [2][kRows][padded + kGap]; a row's weights replace its scores from the left
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
  float sum[kRows][kLanes / 2];
};

inline int64_t round_up(int64_t n, int64_t to) { return (n + to - 1) / to * to; }

Layout layout_of(int64_t tokens, void* scratch) {
  Layout l;
  l.padded = round_up(tokens, kPanel);
  l.k = static_cast<uint32_t*>(scratch);
  l.v = l.k + l.padded * kPairs;
  l.q = l.v + l.padded / 2 * kD;
  l.s = reinterpret_cast<float*>(l.q + kRows * kPairs);
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

// (bits of 2^(i / 16)) - (i << 19): see exp2_of.
alignas(64) constexpr uint32_t kPowers[kLanes] = {
    0x3f800000, 0x3f7daac3, 0x3f7b95c2, 0x3f79c3d3, 0x3f7837f0, 0x3f76f532, 0x3f75fed7, 0x3f75583f,
    0x3f7504f3, 0x3f7508a4, 0x3f75672a, 0x3f76248c, 0x3f7744fd, 0x3f78ccdf, 0x3f7ac0c7, 0x3f7d257d};

// 2^x for x < 100, relative error below 1e-6; below -125 it is 2^-125. The nearest sixteenth is
// exact: its fraction comes from a table, its integer goes to the exponent, in one addition. A
// parabola has the rest. Little of this is on the ports that multiply.
inline __m512 exp2_of(__m512 x) {
  x = _mm512_max_ps(_mm512_set1_ps(-125.0f), x);           // in this order a NaN stays one
  const __m512 to_sixteenths = _mm512_set1_ps(786432.0f);  // 1.5 * 2^19
  const __m512 shifted = _mm512_add_ps(x, to_sixteenths);
  const __m512 f = _mm512_sub_ps(x, _mm512_sub_ps(shifted, to_sixteenths));
  const __m512i n = _mm512_castps_si512(shifted);
  const __m512i power = _mm512_permutexvar_epi32(n, _mm512_load_si512(kPowers));
  const __m512 near = _mm512_castsi512_ps(_mm512_add_epi32(power, _mm512_slli_epi32(n, 19)));
  const __m512 slope = _mm512_fmadd_ps(f, _mm512_set1_ps(0.24022807f), _mm512_set1_ps(0.69318783f));
  return _mm512_fmadd_ps(_mm512_mul_ps(near, f), slope, near);
}

inline __mmask16 first_lanes(int64_t n) {
  return n >= kLanes ? 0xffff : static_cast<__mmask16>((1u << (n > 0 ? n : 0)) - 1);
}

inline int64_t seen_by(const Group& g, int64_t r) {
  const int64_t seen = g.seen + (g.causal ? r : 0);
  return seen < g.keys ? seen : g.keys;
}

// s[r][0..16 Vecs) = q_r . keys; top[r] becomes the larger of itself and them, when asked.
template <int Vecs, bool Top>
inline void score_panel(const uint32_t* q, const uint32_t* panel, int64_t c, Group& g) {
  __m512 acc[kRows][Vecs] = {};
  multiply<Vecs>(acc, q, kPairs, panel, kPairs);
#pragma GCC unroll 6
  for (int r = 0; r < kRows; ++r) {
    float* s = g.s + r * g.stride + c;
    for (int j = 0; j < Vecs; ++j) _mm512_storeu_ps(s + j * kLanes, acc[r][j]);
    if (!Top) continue;
    __m512 top = _mm512_loadu_ps(g.top[r]);
    for (int j = 0; j < Vecs; ++j) top = _mm512_max_ps(top, acc[r][j]);
    _mm512_storeu_ps(g.top[r], top);
  }
}

// Scores of a group, and the shift of every row: its largest score as a power of two.
void score(const Layout& l, Group& g) {
  const __m512 low = _mm512_set1_ps(-__builtin_inff());
  for (int r = 0; r < kRows; ++r) {
    _mm512_storeu_ps(g.top[r], low);
    _mm256_storeu_ps(g.sum[r], _mm256_setzero_ps());
  }
  int64_t c = 0;
  for (; c + kPanel <= g.seen; c += kPanel) score_panel<kVecs, true>(l.q, l.k + c * kPairs, c, g);
  const int64_t full = c;
  for (; c < g.keys; c += kPanel) {
    const uint32_t* panel = l.k + c * kPairs;
    const int64_t vecs = (g.keys - c + kLanes - 1) / kLanes;
    if (vecs >= 4)
      score_panel<4, false>(l.q, panel, c, g);
    else if (vecs == 3)
      score_panel<3, false>(l.q, panel, c, g);
    else if (vecs == 2)
      score_panel<2, false>(l.q, panel, c, g);
    else
      score_panel<1, false>(l.q, panel, c, g);
  }
  for (int r = 0; r < kRows; ++r) {
    __m512 top = _mm512_loadu_ps(g.top[r]);
    for (int64_t i = full; i < seen_by(g, r); i += kLanes) {
      const __mmask16 seen = first_lanes(seen_by(g, r) - i);
      top = _mm512_max_ps(top, _mm512_mask_loadu_ps(low, seen, g.s + r * g.stride + i));
    }
    g.shift[r] = _mm512_reduce_max_ps(top) * kScale;
  }
}

// 16 weights of a row in place of its scores, of which it sees the first `seen`; sum += them.
template <bool Masked>
inline __m256 weigh(Group& g, int r, int64_t key, int64_t seen, __m256 sum) {
  float* s = g.s + r * g.stride;
  __m512 w = exp2_of(_mm512_fmsub_ps(_mm512_loadu_ps(s + key), _mm512_set1_ps(kScale),
                                     _mm512_set1_ps(g.shift[r])));
  if (Masked) w = _mm512_maskz_mov_ps(first_lanes(seen), w);
  const __m256bh half = _mm512_cvtneps_pbh(w);
  _mm256_storeu_si256(reinterpret_cast<__m256i*>(reinterpret_cast<uint16_t*>(s) + key),
                      reinterpret_cast<__m256i>(half));
  return _mm256_dpbf16_ps(sum, half, reinterpret_cast<__m256bh>(_mm256_set1_epi32(0x3f803f80)));
}

// The weights from key `first` on.
void weigh_rest(Group& g, int64_t first) {
  for (int r = 0; r < kRows; ++r) {
    const int64_t seen = seen_by(g, r);
    __m256 sum = _mm256_loadu_ps(g.sum[r]);
    for (int64_t i = first; i < g.keys; i += kLanes) sum = weigh<true>(g, r, i, seen - i, sum);
    _mm256_storeu_ps(g.sum[r], sum);
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
      __m256 sum = _mm256_loadu_ps(next->sum[r]);
#pragma GCC unroll 5
      for (int j = 0; j < kSteps; ++j, ++pair) {
        multiply<kVecs>(acc, weights + pair, g.stride, l.v + pair * kD, 1);
        if (j < kVecs) sum = weigh<false>(*next, r, c + j * kLanes, 0, sum);
      }
      _mm256_storeu_ps(next->sum[r], sum);
    }
    multiply<kVecs>(acc, weights + pair, g.stride, l.v + pair * kD, (c + kPanel) / 2 - pair);
  }
  multiply<kVecs>(acc, weights + full / 2, g.stride, l.v + full / 2 * kD,
                  (g.keys + 1) / 2 - full / 2);
  if (next) weigh_rest(*next, full);
  for (int64_t r = 0; r < kRows; ++r) {
    if (r >= g.rows) break;
    float sum = 0;
    for (float lane : g.sum[r]) sum += lane;
    const __m512 inverse = _mm512_set1_ps(1.0f / sum);
    for (int j = 0; j < kVecs; ++j) {
      const __m256bh half = _mm512_cvtneps_pbh(_mm512_mul_ps(acc[r][j], inverse));
      _mm256_storeu_si256(reinterpret_cast<__m256i*>(out + (g.first + r) * out_stride + j * kLanes),
                          reinterpret_cast<__m256i>(half));
    }
  }
}

// Rows beyond the group's repeat its last one: they cost what they would as zeros.
void copy_queries(const uint16_t* q, int64_t stride, int64_t rows, const Layout& l) {
  for (int64_t r = 0; r < kRows; ++r) {
    memcpy(l.q + r * kPairs, q + (r < rows ? r : rows - 1) * stride, kPairs * sizeof(uint32_t));
  }
}

}  // namespace

size_t attention_scratch_bytes(int64_t tokens) {
  const int64_t padded = round_up(tokens, kPanel);
  return static_cast<size_t>(padded * kPairs + padded / 2 * kD + kRows * kPairs +
                             2 * kRows * (padded + kGap)) *
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
    copy_queries(q + row * stride, stride, g.rows, l);
    score(l, g);
    if (before)
      add_values(l, *before, &g, out, width);
    else
      weigh_rest(g, 0);
    before = &g;
  }
  if (before) add_values(l, *before, nullptr, out, width);
}

}  // namespace ACD_ISA
}  // namespace acd
