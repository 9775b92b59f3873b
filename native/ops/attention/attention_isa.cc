// Fused attention of one head, f32.
//
// K and V are copied once per head into panels: K as [panel][d][keys] so that one vector holds the
// same d of neighbouring keys, V as [key][d] without the stride of the QKV product. Then, for every
// block of kBlockRows queries: scores of all keys (a K panel stays in L1 while the block's rows
// pass over it), softmax in place, product with V in slabs of kSlab keys. Scores of a block are 24
// x 1370 floats, which lives in L2; no T x T matrix exists.
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
constexpr int kPanel = kVecs * kLanes;  // keys of a panel
constexpr int kBlockRows = 4 * kRows;
constexpr int kSlab = 64;  // keys of V taken at once

struct Layout {
  int64_t tokens;
  int64_t padded;  // tokens rounded up to panels and slabs
  float* k;        // [padded / kPanel][kD][kPanel]
  float* v;        // [padded][kD]
  float* q;        // [kBlockRows / kRows][kD][kRows], scaled
  float* s;        // [kBlockRows][padded]
};

inline int64_t round_up(int64_t n, int64_t to) { return (n + to - 1) / to * to; }

inline int64_t padded_tokens(int64_t tokens) {
  return round_up(tokens, kSlab > kPanel ? kSlab : kPanel);
}

Layout layout_of(int64_t tokens, void* scratch) {
  Layout l;
  l.tokens = tokens;
  l.padded = padded_tokens(tokens);
  l.k = static_cast<float*>(scratch);
  l.v = l.k + l.padded * kD;
  l.q = l.v + l.padded * kD;
  l.s = l.q + kBlockRows * kD;
  return l;
}

// K^T by panels and V contiguous, zero beyond the last token.
void pack_keys_values(const float* k, const float* v, int64_t stride, int64_t count,
                      const Layout& l) {
  for (int64_t t = 0; t < l.padded; ++t) {
    float* panel = l.k + t / kPanel * kPanel * kD + t % kPanel;
    float* row = l.v + t * kD;
    if (t < count) {
      const float* key = k + t * stride;
      for (int d = 0; d < kD; ++d) panel[d * kPanel] = key[d];
      memcpy(row, v + t * stride, kD * sizeof(float));
    } else {
      for (int d = 0; d < kD; ++d) panel[d * kPanel] = 0;
      memset(row, 0, kD * sizeof(float));
    }
  }
}

// s[r][0..kPanel) = q_r . keys of the panel, for kRows rows.
inline void score_panel(const float* q, const float* panel, float* s, int64_t s_stride) {
  Vec acc[kRows][kVecs] = {};
  for (int d = 0; d < kD; ++d) {
    Vec key[kVecs];
    for (int j = 0; j < kVecs; ++j) key[j] = load(panel + d * kPanel + j * kLanes);
    for (int r = 0; r < kRows; ++r) {
      const Vec broadcast = splat(q[d * kRows + r]);
      for (int j = 0; j < kVecs; ++j) acc[r][j] += broadcast * key[j];
    }
  }
  for (int r = 0; r < kRows; ++r) {
    for (int j = 0; j < kVecs; ++j) store(s + r * s_stride + j * kLanes, acc[r][j]);
  }
}

// Exponentials of one row in place; returns their sum. Beyond `keys` the row becomes zero.
inline float softmax_row(float* s, int64_t keys, int64_t padded) {
  const int64_t full = keys / kLanes * kLanes;
  float top = s[0];
  Vec m = splat(top);
  for (int64_t i = 0; i < full; i += kLanes) m = vmax(m, load(s + i));
  top = max_lanes(m);
  for (int64_t i = full; i < keys; ++i) top = s[i] > top ? s[i] : top;
  for (int64_t i = keys; i < round_up(keys, kLanes); ++i) s[i] = top - 200.0f;
  Vec sum = {};
  for (int64_t i = 0; i < full; i += kLanes) {
    const Vec e = exp_nonpositive(load(s + i) - top);
    store(s + i, e);
    sum += e;
  }
  float total = sum_lanes(sum);
  if (full < keys) {
    store(s + full, exp_nonpositive(load(s + full) - top));
    for (int64_t i = full; i < keys; ++i) total += s[i];
  }
  for (int64_t i = keys; i < padded; ++i) s[i] = 0;
  return total;
}

// o[r][0..64) += p_r[keys] V for kRows rows, kSlab keys.
inline void value_slab(const float* p, int64_t p_stride, const float* v, float* o) {
  for (int c = 0; c < kD; c += kPanel) {
    Vec acc[kRows][kVecs];
    for (int r = 0; r < kRows; ++r) {
      for (int j = 0; j < kVecs; ++j) acc[r][j] = load(o + r * kD + c + j * kLanes);
    }
    for (int t = 0; t < kSlab; ++t) {
      Vec value[kVecs];
      for (int j = 0; j < kVecs; ++j) value[j] = load(v + t * kD + c + j * kLanes);
      for (int r = 0; r < kRows; ++r) {
        const Vec weight = splat(p[r * p_stride + t]);
        for (int j = 0; j < kVecs; ++j) acc[r][j] += weight * value[j];
      }
    }
    for (int r = 0; r < kRows; ++r) {
      for (int j = 0; j < kVecs; ++j) store(o + r * kD + c + j * kLanes, acc[r][j]);
    }
  }
}

void pack_queries(const float* q, int64_t stride, int64_t rows, const Layout& l) {
  for (int64_t r = 0; r < kBlockRows; ++r) {
    float* to = l.q + r / kRows * kRows * kD + r % kRows;
    for (int d = 0; d < kD; ++d) to[d * kRows] = r < rows ? q[r * stride + d] * 0.125f : 0.0f;
  }
}

void attend_block(const Layout& l, int64_t first_row, int64_t rows, bool causal, float* out,
                  int64_t out_stride) {
  const int64_t groups = (rows + kRows - 1) / kRows;
  const int64_t keys = causal ? first_row + rows : l.tokens;  // that any row of the block sees
  const int64_t scored = round_up(keys, kSlab > kPanel ? kSlab : kPanel);
  for (int64_t c = 0; c < scored; c += kPanel) {
    for (int64_t g = 0; g < groups; ++g) {
      score_panel(l.q + g * kRows * kD, l.k + c * kD, l.s + g * kRows * l.padded + c, l.padded);
    }
  }
  float total[kBlockRows];
  for (int64_t r = 0; r < groups * kRows; ++r) {
    const int64_t seen = causal && first_row + r < keys ? first_row + r + 1 : keys;
    total[r] = softmax_row(l.s + r * l.padded, seen, scored);
  }
  alignas(64) float o[kBlockRows * kD];
  memset(o, 0, static_cast<size_t>(groups) * kRows * kD * sizeof(float));
  for (int64_t t = 0; t < scored; t += kSlab) {
    for (int64_t g = 0; g < groups; ++g) {
      value_slab(l.s + g * kRows * l.padded + t, l.padded, l.v + t * kD, o + g * kRows * kD);
    }
  }
  for (int64_t r = 0; r < rows; ++r) {
    const float inverse = 1.0f / total[r];
    for (int d = 0; d < kD; ++d) out[r * out_stride + d] = o[r * kD + d] * inverse;
  }
}

}  // namespace

size_t attention_scratch_bytes(int64_t tokens) {
  const int64_t padded = padded_tokens(tokens);
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
    attend_block(l, row, rows, p.causal, out + row * width, width);
  }
}

}  // namespace ACD_ISA
}  // namespace acd
