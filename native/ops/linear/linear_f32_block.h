// A block of rows by a panel of columns in registers, and what becomes of its sums: shared by the
// plain product and Strassen's. Everything is static, as in simd.h.
#pragma once

#include "backend/cpu/simd.h"
#include "ops/linear/activate_isa.h"
#include "ops/linear/linear_f32_isa.h"

namespace acd {
namespace ACD_ISA {

#if defined(ACD_ISA_avx512)
constexpr int kRows = 8;  // accumulators: 8 x 3 of 32 registers
constexpr int kVecs = 3;
#elif defined(ACD_ISA_avx2)
constexpr int kRows = 4;  // 4 x 3 of 16
constexpr int kVecs = 3;
#else
constexpr int kRows = 6;  // 6 x 2 of 16
constexpr int kVecs = 2;
#endif
constexpr int kPanel = kVecs * kLanes;
constexpr int64_t kDepth = 1024;

using Sums = float[kRows][kPanel];

// What a product reads: one operand, or two added or subtracted on the way.
enum class Operand { kOne, kSum, kDifference };

// c[i][column] = sum over k of x[i] w, in a panel of Vecs vectors; x of `kX` is one or two blocks
// of rows, w of `kW` one or two panels, whose sum goes to `sum` too if there are two.
template <int Rows, int Vecs, Operand kX = Operand::kOne, Operand kW = Operand::kOne>
static void multiply(const float* x, const float* x2, int64_t ldx, const float* w, const float* w2,
                     float* sum, int64_t k, Sums& c) {
  // Unrolled by name: otherwise GCC 12 keeps the accumulators in memory.
  Vec acc[Rows][Vecs];
#pragma GCC unroll 8
  for (int i = 0; i < Rows; ++i) {
#pragma GCC unroll 3
    for (int j = 0; j < Vecs; ++j) acc[i][j] = Vec{};
  }
  for (int64_t at = 0; at < k; ++at) {
    Vec b[Vecs];
#pragma GCC unroll 3
    for (int j = 0; j < Vecs; ++j) {
      const int64_t from = at * (Vecs * kLanes) + j * kLanes;
      b[j] = load(w + from);
      if (kW == Operand::kSum) b[j] += load(w2 + from);
      if (kW == Operand::kDifference) b[j] -= load(w2 + from);
      if (kW != Operand::kOne) store(sum + from, b[j]);
    }
#pragma GCC unroll 8
    for (int i = 0; i < Rows; ++i) {
      Vec a = splat(x[i * ldx + at]);
      if (kX == Operand::kSum) a += splat(x2[i * ldx + at]);
      if (kX == Operand::kDifference) a -= splat(x2[i * ldx + at]);
#pragma GCC unroll 3
      for (int j = 0; j < Vecs; ++j) acc[i][j] += a * b[j];
    }
  }
#pragma GCC unroll 8
  for (int i = 0; i < Rows; ++i) {
#pragma GCC unroll 3
    for (int j = 0; j < Vecs; ++j) store(c[i] + j * kLanes, acc[i][j]);
  }
}

struct Part {
  int64_t row, rows;
  int64_t column;
  bool first, last;  // of the parts of k
};

template <Activation kAct>
static inline Vec finished(const F32Tile& t, const Part& part, Vec sum, int64_t column,
                           const Vec* before) {
  if (part.first) sum += load(t.bias + column);
  if (before) sum += *before;
  return part.last ? activate<kAct>(sum) : sum;
}

// Sums of a panel to y: with the bias in the first part of k, the activation in the last.
template <Activation kAct>
static void finish(const F32Tile& t, const Part& part, const Sums& c) {
  const bool add = t.accumulate || !part.first;
  for (int64_t j = 0; j < kPanel && part.column + j < t.n; j += kLanes) {
    const int64_t column = part.column + j, left = t.n - column;
    for (int64_t i = 0; i < part.rows; ++i) {
      float* y = t.y + (part.row + i) * t.ldy + column;
      const Vec sum = load(c[i] + j);
      if (left >= kLanes) {
        const Vec before = add ? load(y) : Vec{};
        store(y, finished<kAct>(t, part, sum, column, add ? &before : nullptr));
        continue;
      }
      const size_t bytes = static_cast<size_t>(left) * sizeof(float);
      Vec before = {};
      if (add) memcpy(&before, y, bytes);
      const Vec v = finished<kAct>(t, part, sum, column, add ? &before : nullptr);
      memcpy(y, &v, bytes);
    }
  }
}

using Finish = void (*)(const F32Tile&, const Part&, const Sums&);

static inline Finish finish_for(Activation act) {
  return with_activation(act, [](auto a) -> Finish { return finish<decltype(a)::value>; });
}

}  // namespace ACD_ISA
}  // namespace acd
