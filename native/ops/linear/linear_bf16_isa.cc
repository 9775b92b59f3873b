// bf16 products on vdpbf16ps: 6 rows by 64 columns in 24 registers, from the first k to the last,
// then the epilogue from the first-level cache.
//
// Why not oneDNN, where it has no AMX to use: 2.6 reaches 86 to 92 % of the peak of two Zen 4 cores
// in ViT-L's shapes, this 94 to 96 %. Six rows by four vectors need 10 loads for 24 instructions of
// two products. A panel of weights (64 x k) stays in the second-level cache while the tile's rows
// pass over it; the next one and the lines of y are fetched meanwhile.
//
// A row sees the same operations in the same order whichever rows share its block: one sum over k,
// from zero, then the bias, then y.
#include "ops/linear/linear_bf16_isa.h"

#include <immintrin.h>

#include "backend/cpu/simd.h"
#include "ops/linear/activate_isa.h"

namespace acd {
namespace ACD_ISA {
namespace {

constexpr int kRows = 6;
constexpr int kVecs = 4;
static_assert(kLanes == kBf16Lanes && kVecs * kLanes == kBf16Panel, "a panel is four registers");

using Sums = float[kRows][kBf16Panel];

// Blocks of rows in which the panel after this one is fetched: a line a step.
constexpr int64_t kFetchBlocks = kVecs;

inline __m512bh as_bf16(__m512i v) { return reinterpret_cast<__m512bh>(v); }

// Two of k of every row with a panel of Vecs vectors; pair_of reads a row's two numbers.
template <int Rows, int Vecs, typename PairOf>
inline __attribute__((always_inline)) void step(const uint16_t* x, int64_t ldx, const uint16_t* w,
                                                __m512 (&acc)[Rows][Vecs], PairOf pair_of) {
  __m512bh b[Vecs];
#pragma GCC unroll 4
  for (int j = 0; j < Vecs; ++j) b[j] = as_bf16(_mm512_loadu_si512(w + j * kLanes * kBf16Depth));
#pragma GCC unroll 6
  for (int i = 0; i < Rows; ++i) {
    const __m512bh a = as_bf16(_mm512_set1_epi32(pair_of(x + i * ldx)));
#pragma GCC unroll 4
    for (int j = 0; j < Vecs; ++j) acc[i][j] = _mm512_dpbf16_ps(acc[i][j], a, b[j]);
  }
}

inline int32_t pair_at(const uint16_t* p) {
  int32_t pair;
  memcpy(&pair, p, sizeof pair);
  return pair;
}

inline int32_t last_at(const uint16_t* p) { return *p; }  // nothing follows it

// c[i][column] = sum over k of x[i] w, in a panel of Vecs vectors. What the next panels need of
// memory is asked for from `fetch` on, unless it is null.
template <int Rows, int Vecs>
void multiply(const uint16_t* x, int64_t ldx, const uint16_t* w, int64_t k, const uint16_t* fetch,
              Sums& c) {
  constexpr int kStep = Vecs * kLanes * kBf16Depth;
  // Unrolled by name: otherwise GCC 12 keeps the accumulators in memory.
  __m512 acc[Rows][Vecs];
#pragma GCC unroll 6
  for (int i = 0; i < Rows; ++i) {
#pragma GCC unroll 4
    for (int j = 0; j < Vecs; ++j) acc[i][j] = _mm512_setzero_ps();
  }
  int64_t at = 0;
  for (; at + kBf16Depth <= k; at += kBf16Depth, w += kStep) {
    step<Rows, Vecs>(x + at, ldx, w, acc, pair_at);
    if (fetch) __builtin_prefetch(fetch + at * (kBf16Panel / kFetchBlocks), 0, 2);
  }
  if (at < k) step<Rows, Vecs>(x + at, ldx, w, acc, last_at);
#pragma GCC unroll 6
  for (int i = 0; i < Rows; ++i) {
#pragma GCC unroll 4
    for (int j = 0; j < Vecs; ++j) _mm512_store_ps(c[i] + j * kLanes, acc[i][j]);
  }
}

using Multiply = void (*)(const uint16_t*, int64_t, const uint16_t*, int64_t, const uint16_t*,
                          Sums&);

template <int Vecs>
Multiply multiply_for(int64_t rows) {
  static constexpr Multiply kOf[] = {multiply<1, Vecs>, multiply<2, Vecs>, multiply<3, Vecs>,
                                     multiply<4, Vecs>, multiply<5, Vecs>, multiply<6, Vecs>};
  return kOf[rows - 1];
}

Multiply multiply_for(int64_t rows, int64_t vecs) {
  static constexpr Multiply (*kOf[])(int64_t) = {multiply_for<1>, multiply_for<2>, multiply_for<3>,
                                                 multiply_for<4>};
  return kOf[vecs - 1](rows);
}

inline __mmask16 first_lanes(int64_t n) {
  return static_cast<__mmask16>(n >= kLanes ? 0xffff : (1u << n) - 1);
}

inline void store_bf16(uint16_t* p, Vec v, __mmask16 mask) {
  _mm256_mask_storeu_epi16(p, mask, reinterpret_cast<__m256i>(_mm512_cvtneps_pbh(v)));
}

template <Activation kAct>
inline Vec finished(Vec v) {
  return kAct == Activation::kGelu ? gelu_by_table(v) : activate<kAct>(v);
}

enum class Output { kBf16, kF32, kF32Sum };

// `rows` rows of a panel: sums with the bias, the activation, y.
template <Output kOut, Activation kAct>
void finish(const Bf16Tile& t, int64_t row, int64_t rows, int64_t column, const Sums& c) {
  for (int64_t j = 0; j < kBf16Panel && column + j < t.n; j += kLanes) {
    const int64_t at = column + j;
    const __mmask16 mask = first_lanes(t.n - at);
    const Vec bias = load(t.bias + at);
    for (int64_t i = 0; i < rows; ++i) {
      const int64_t to = (row + i) * t.ldy + at;
      Vec v = load(c[i] + j) + bias;
      if (kOut == Output::kBf16) {
        store_bf16(static_cast<uint16_t*>(t.y) + to, finished<kAct>(v), mask);
      } else {
        float* y = static_cast<float*>(t.y) + to;
        if (kOut == Output::kF32Sum) v += static_cast<Vec>(_mm512_maskz_loadu_ps(mask, y));
        _mm512_mask_storeu_ps(y, mask, finished<kAct>(v));
      }
    }
  }
}

// Asks for the memory of y that finish will touch: it arrives during the product. Inline, or GCC 12
// drops a call that has no other effect.
inline __attribute__((always_inline)) void fetch_y(const Bf16Tile& t, int64_t row, int64_t rows,
                                                   int64_t column) {
  const auto size = static_cast<int64_t>(t.y_type == NumberType::kBf16 ? 2 : 4);
  const int64_t left = t.n - column, bytes = (left < kBf16Panel ? left : kBf16Panel) * size;
  for (int64_t i = 0; i < rows; ++i) {
    const uint8_t* y = static_cast<const uint8_t*>(t.y) + ((row + i) * t.ldy + column) * size;
    for (int64_t at = 0; at < bytes; at += 64) __builtin_prefetch(y + at, 1, 3);
  }
}

using Finish = void (*)(const Bf16Tile&, int64_t, int64_t, int64_t, const Sums&);

template <Output kOut>
Finish finish_for(Activation act) {
  return with_activation(act, [](auto a) -> Finish { return finish<kOut, decltype(a)::value>; });
}

Finish finish_for(const Bf16Tile& t) {
  if (t.y_type == NumberType::kBf16) return finish_for<Output::kBf16>(t.act);
  return t.accumulate ? finish_for<Output::kF32Sum>(t.act) : finish_for<Output::kF32>(t.act);
}

}  // namespace

void linear_bf16_tile(const Bf16Tile& t) {
  const Finish finish = finish_for(t);
  const int64_t depth = (t.k + kBf16Depth - 1) / kBf16Depth * kBf16Depth;
  const int64_t blocks = (t.rows + kRows - 1) / kRows;
  alignas(64) Sums c;
  for (int64_t column = 0; column < t.n; column += kBf16Panel) {
    const int64_t left = t.n - column;
    const int64_t vecs = left < kBf16Panel ? (left + kLanes - 1) / kLanes : kVecs;
    const uint16_t* w = t.weights + column * depth;
    const uint16_t* next = left >= 2 * kBf16Panel ? w + kBf16Panel * depth : nullptr;
    const Multiply whole = multiply_for(kRows, vecs);
    for (int64_t block = 0; block < blocks; ++block) {
      const int64_t row = block * kRows, rows = t.rows - row < kRows ? t.rows - row : kRows;
      const Multiply multiply = rows == kRows ? whole : multiply_for(rows, vecs);
      // A part of the next panel in each of the last blocks.
      const int64_t part = block - (blocks - kFetchBlocks);
      const uint16_t* fetch =
          next && part >= 0 ? next + part * (kBf16Panel / kFetchBlocks) * depth : nullptr;
      fetch_y(t, row, rows, column);
      multiply(t.x + row * t.ldx, t.ldx, w, t.k, fetch, c);
      finish(t, row, rows, column, c);
    }
  }
}

void round_rows(const float* x, int64_t ldx, int64_t rows, int64_t k, uint16_t* y) {
  for (int64_t r = 0; r < rows; ++r) {
    for (int64_t i = 0; i < k; i += kLanes) {
      const __mmask16 mask = first_lanes(k - i);
      store_bf16(y + r * k + i, _mm512_maskz_loadu_ps(mask, x + r * ldx + i), mask);
    }
  }
}

}  // namespace ACD_ISA
}  // namespace acd
