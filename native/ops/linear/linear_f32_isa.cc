// f32 products: a block of rows by a panel of columns in registers, over at most kDepth of k, then
// the epilogue from the first-level cache.
//
// Why not oneDNN: 2.6 reaches 82 to 89 % of the peak of two Zen 4 cores in ViT-L's shapes, this 88
// to 94 %, and rows of any stride cost nothing. Eight rows by three vectors need 11 loads for 24
// products; 14 by 2, which would stream less of the weights, needs 16 and is a quarter slower
// there. A panel (192 KB at AVX-512) stays in the second-level cache while the tile's rows pass
// over it.
//
// A row sees the same operations in the same order whichever rows share its block: sums of kDepth
// products from zero, added to y one after the other.
#include "ops/linear/linear_f32_isa.h"

#include "ops/linear/linear_f32_block.h"

namespace acd {
namespace ACD_ISA {
namespace {

constexpr int min(int a, int b) { return a < b ? a : b; }

using Multiply = void (*)(const float*, const float*, int64_t, const float*, const float*, float*,
                          int64_t, Sums&);

template <int Vecs>
Multiply multiply_for(int64_t rows) {
  constexpr int kMost = kRows;
  static constexpr Multiply kOf[] = {multiply<1, Vecs>,
                                     multiply<2, Vecs>,
                                     multiply<3, Vecs>,
                                     multiply<4, Vecs>,
                                     multiply<min(5, kMost), Vecs>,
                                     multiply<min(6, kMost), Vecs>,
                                     multiply<min(7, kMost), Vecs>,
                                     multiply<kMost, Vecs>};
  return kOf[rows - 1];
}

Multiply multiply_for(int64_t rows, int64_t vecs) {
  if (vecs == kVecs) return multiply_for<kVecs>(rows);
  return vecs == 2 ? multiply_for<2>(rows) : multiply_for<1>(rows);
}

}  // namespace

F32Layout f32_layout() { return {kPanel, kLanes}; }

void linear_f32_tile(const F32Tile& t) {
  const Finish finish = finish_for(t.act);
  alignas(64) Sums c;
  for (int64_t k = 0; k < t.k; k += kDepth) {
    const int64_t depth = t.k - k < kDepth ? t.k - k : kDepth;
    for (int64_t column = 0; column < t.n; column += kPanel) {
      const int64_t left = t.n - column;
      const int64_t vecs = left < kPanel ? (left + kLanes - 1) / kLanes : kVecs;
      const float* w = t.weights + column * t.k + k * vecs * kLanes;
      const Multiply whole = multiply_for(kRows, vecs);
      for (int64_t row = 0; row < t.rows; row += kRows) {
        const int64_t rows = t.rows - row < kRows ? t.rows - row : kRows;
        const Multiply multiply = rows == kRows ? whole : multiply_for(rows, vecs);
        multiply(t.x + row * t.ldx + k, nullptr, t.ldx, w, nullptr, nullptr, depth, c);
        finish(t, {row, rows, column, k == 0, k + depth == t.k}, c);
      }
    }
  }
}

}  // namespace ACD_ISA
}  // namespace acd
