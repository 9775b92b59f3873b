// Fused attention of one head, f32.
//
// K and V are copied once per head: K into panels [panel][d][keys], so that one vector holds the
// same d of neighbouring keys, V as [column panel][key][columns] without the stride of the QKV
// product. Then, for every block of kBlockRows queries: scores of all keys (a K panel stays in L1
// while the block's rows pass over it), softmax in place, product with V in registers from the
// first key to the last. Scores of a block are 24 x 1370 floats, which lives in L2; no T x T matrix
// exists.
//
// A row's result does not depend on which rows share its block: every row sees the same operations
// in the same order.
#include "ops/attention/attention_isa.h"

#include "backend/cpu/simd.h"

namespace acd {
namespace ACD_ISA {
namespace {

constexpr int kD = static_cast<int>(kHeadWidth);
#if defined(ACD_ISA_avx512)
constexpr int kRows = 6;  // accumulators: 6 x 4 of 32 registers
constexpr int kVecs = 4;
#elif defined(ACD_ISA_avx2)
constexpr int kRows = 6;  // 6 x 2 of 16
constexpr int kVecs = 2;
#else
constexpr int kRows = 4;  // 4 x 2 of 16
constexpr int kVecs = 2;
#endif
constexpr int kPanel = kVecs * kLanes;  // keys of a panel of K, columns of one of V
static_assert(kD % kPanel == 0, "a head is whole panels wide");
constexpr int kBlockRows = 4 * kRows;

struct Layout {
  int64_t padded;  // tokens rounded up to panels
  float* k;        // [padded / kPanel][kD][kPanel]
  float* v;        // [kD / kPanel][tokens][kPanel]
  float* q;        // [kBlockRows / kRows][kD][kRows]
  float* s;        // [kBlockRows][padded]
};

inline int64_t round_up(int64_t n, int64_t to) { return (n + to - 1) / to * to; }

Layout layout_of(int64_t tokens, void* scratch) {
  Layout l;
  l.padded = round_up(tokens, kPanel);
  l.k = static_cast<float*>(scratch);
  l.v = l.k + l.padded * kD;
  l.q = l.v + l.padded * kD;
  l.s = l.q + kBlockRows * kD;
  return l;
}

// Keys beyond the last token are zero.
void pack_keys_values(const float* k, const float* v, int64_t stride, int64_t tokens,
                      const Layout& l) {
  constexpr int64_t kAhead = 12;  // rows: they are too far apart for the processor's own guess
  for (int64_t t = 0; t < l.padded; ++t) {
    float* panel = l.k + t / kPanel * kPanel * kD + t % kPanel;
    if (t + kAhead < tokens) {
      for (int d = 0; d < kD; d += 16) {
        __builtin_prefetch(k + (t + kAhead) * stride + d);
        __builtin_prefetch(v + (t + kAhead) * stride + d);
      }
    }
    if (t >= tokens) {
      for (int d = 0; d < kD; ++d) panel[d * kPanel] = 0;
      continue;
    }
    for (int d = 0; d < kD; ++d) panel[d * kPanel] = k[t * stride + d];
    for (int d = 0; d < kD; d += kPanel)
      memcpy(l.v + d * tokens + t * kPanel, v + t * stride + d, kPanel * sizeof(float));
  }
}

// acc[r][j] += sum over i of rows[r] columns[j]: the rows' numbers r_stride and i_stride apart.
template <int Vecs>
inline void multiply(Vec (&acc)[kRows][Vecs], const float* rows, int64_t r_stride, int64_t i_stride,
                     const float* columns, int64_t count) {
  for (int64_t i = 0; i < count; ++i) {
    Vec column[Vecs];
#pragma GCC unroll 4
    for (int j = 0; j < Vecs; ++j) column[j] = load(columns + i * kPanel + j * kLanes);
#pragma GCC unroll 6
    for (int r = 0; r < kRows; ++r) {
      const Vec row = splat(rows[r * r_stride + i * i_stride]);
#pragma GCC unroll 4
      for (int j = 0; j < Vecs; ++j) acc[r][j] += row * column[j];
    }
  }
}

// s[r][0..Vecs * kLanes) = q_r . keys of a panel, for kRows rows.
template <int Vecs>
inline void score_panel(const float* q, const float* panel, float* s, int64_t stride) {
  Vec acc[kRows][Vecs] = {};
  multiply<Vecs>(acc, q, 1, kRows, panel, kD);
  for (int r = 0; r < kRows; ++r) {
    for (int j = 0; j < Vecs; ++j) store(s + r * stride + j * kLanes, acc[r][j]);
  }
}

void score(const Layout& l, int64_t groups, int64_t keys) {
  for (int64_t c = 0; c < keys; c += kPanel) {
    const float* panel = l.k + c * kD;
    const int64_t vecs = keys - c < kPanel ? (keys - c + kLanes - 1) / kLanes : kVecs;
    for (int64_t g = 0; g < groups; ++g) {
      const float* q = l.q + g * kRows * kD;
      float* s = l.s + g * kRows * l.padded + c;
      if (vecs == kVecs)
        score_panel<kVecs>(q, panel, s, l.padded);
      else if (kVecs > 3 && vecs == 3)
        score_panel<3>(q, panel, s, l.padded);
      else if (vecs == 2)
        score_panel<2>(q, panel, s, l.padded);
      else
        score_panel<1>(q, panel, s, l.padded);
    }
  }
}

// 2^x for x <= 0, relative error below 2 ulp; x under -125 gives about 2e-38. Rounding and scaling
// are integer and plain sums: AVX-512's own instructions for them compete with the polynomial.
inline Vec exp2_of(Vec x) {
  x = vmax(splat(-125.0f), x);          // in this order a NaN stays one
  const Vec shifted = x + 12582912.0f;  // 1.5 * 2^23: the nearest integer is in the low bits
  const Vec f = x - (shifted - 12582912.0f);
  Vec p = splat(1.5469732e-4f);
  p = p * f + 1.34004322e-3f;
  p = p * f + 9.6180256e-3f;
  p = p * f + 5.55032721e-2f;
  p = p * f + 2.40226512e-1f;
  p = p * f + 6.93147207e-1f;
  p = p * f + 1.0f;
  VecI exponent, bits;
  memcpy(&exponent, &shifted, sizeof exponent);
  memcpy(&bits, &p, sizeof bits);
  bits += exponent << 23;
  memcpy(&p, &bits, sizeof p);
  return p;
}

// exp(score / 8) over the row's largest, in place; returns their sum.
inline float softmax_row(float* s, int64_t keys) {
  constexpr float kScale = 0.125f * 1.44269504f;
  const int64_t full = keys / kLanes * kLanes;
  float top = s[0];
  Vec m = splat(top);
  for (int64_t i = 0; i < full; i += kLanes) m = vmax(m, load(s + i));
  top = max_lanes(m);
  for (int64_t i = full; i < keys; ++i) top = s[i] > top ? s[i] : top;
  const float shift = top * kScale;
  Vec sum = {};
  for (int64_t i = 0; i < full; i += kLanes) {
    const Vec e = exp2_of(load(s + i) * kScale - shift);
    store(s + i, e);
    sum += e;
  }
  float total = sum_lanes(sum);
  if (full < keys) {
    for (int64_t i = keys; i < full + kLanes; ++i) s[i] = top;
    store(s + full, exp2_of(load(s + full) * kScale - shift));
    for (int64_t i = full; i < keys; ++i) total += s[i];
  }
  return total;
}

// out[r] = p_r V / total_r for the first `rows` of kRows rows.
inline void weigh_values(const float* p, int64_t p_stride, const float* v, int64_t tokens,
                         int64_t keys, const float* total, int64_t rows, float* out,
                         int64_t out_stride) {
  for (int d = 0; d < kD; d += kPanel) {
    Vec acc[kRows][kVecs] = {};
    multiply<kVecs>(acc, p, p_stride, 1, v + d * tokens, keys);
    for (int64_t r = 0; r < kRows; ++r) {
      if (r >= rows) break;
      const Vec inverse = splat(1.0f / total[r]);
      for (int j = 0; j < kVecs; ++j)
        store(out + r * out_stride + d + j * kLanes, acc[r][j] * inverse);
    }
  }
}

void pack_queries(const float* q, int64_t stride, int64_t rows, const Layout& l) {
  for (int64_t r = 0; r < kBlockRows; ++r) {
    float* to = l.q + r / kRows * kRows * kD + r % kRows;
    for (int d = 0; d < kD; ++d) to[d * kRows] = r < rows ? q[r * stride + d] : 0.0f;
  }
}

void attend_block(const Layout& l, int64_t first_row, int64_t rows, int64_t tokens, bool causal,
                  float* out, int64_t out_stride) {
  const int64_t groups = (rows + kRows - 1) / kRows;
  const int64_t keys = causal ? first_row + rows : tokens;  // that any row of the block sees
  score(l, groups, keys);
  for (int64_t g = 0; g < groups; ++g) {
    float* s = l.s + g * kRows * l.padded;
    float total[kRows];
    for (int64_t r = 0; r < kRows; ++r) {
      const int64_t row = first_row + g * kRows + r;
      const int64_t seen = causal && row < keys ? row + 1 : keys;
      total[r] = softmax_row(s + r * l.padded, seen);
      for (int64_t i = seen; i < keys; ++i) s[r * l.padded + i] = 0;
    }
    weigh_values(s, l.padded, l.v, tokens, keys, total, rows - g * kRows,
                 out + g * kRows * out_stride, out_stride);
  }
}

}  // namespace

size_t attention_scratch_bytes(int64_t tokens) {
  const int64_t padded = round_up(tokens, kPanel);
  return static_cast<size_t>(2 * padded * kD + kBlockRows * kD + kBlockRows * padded) *
         sizeof(float);
}

void attention_head(const AttentionParams& p, int64_t item, int64_t head, int64_t row_begin,
                    int64_t row_end, void* scratch) {
  const int64_t width = p.heads * kD;
  const int64_t stride = 3 * width;
  const float* q = static_cast<const float*>(p.qkv) + item * p.tokens * stride + head * kD;
  float* out = static_cast<float*>(p.out) + item * p.tokens * width + head * kD;
  const Layout l = layout_of(p.tokens, scratch);
  pack_keys_values(q + width, q + 2 * width, stride, p.tokens, l);
  for (int64_t row = row_begin; row < row_end; row += kBlockRows) {
    const int64_t rows = row_end - row < kBlockRows ? row_end - row : kBlockRows;
    pack_queries(q + row * stride, stride, rows, l);
    attend_block(l, row, rows, p.tokens, p.causal, out + row * width, width);
  }
}

}  // namespace ACD_ISA
}  // namespace acd
