// The sums of two blocks of rows are made as the product reads them, and those of two panels by the
// first block of rows, which leaves them for the others: on Zen 4 additions have ports of their
// own, so both are nearly free. What remains over seven eighths of the time are the sums of
// products, 12 updates where the plain way has 4.
#include "ops/linear/linear_strassen_isa.h"

#include "ops/linear/linear_f32_block.h"

namespace acd {
namespace ACD_ISA {
namespace {

using Multiply = void (*)(const float*, const float*, int64_t, const float*, const float*, float*,
                          int64_t, Sums&);

// By the operands x and w.
template <Operand kX>
Multiply block_for(Operand w) {
  if (w == Operand::kSum) return multiply<kRows, kVecs, kX, Operand::kSum>;
  if (w == Operand::kDifference) return multiply<kRows, kVecs, kX, Operand::kDifference>;
  return multiply<kRows, kVecs, kX, Operand::kOne>;
}

Multiply block_for(Operand x, Operand w) {
  if (x == Operand::kSum) return block_for<Operand::kSum>(w);
  if (x == Operand::kDifference) return block_for<Operand::kDifference>(w);
  return block_for<Operand::kOne>(w);
}

// Where a product goes: a quarter of y, and whether it is subtracted there.
struct Target {
  int quarter;  // or -1
  bool minus;
};

struct Product {
  Operand x;
  int x1, x2;  // quarters
  Operand w;
  int w1, w2;
  Target to[2];
};

constexpr Operand kOne = Operand::kOne, kSum = Operand::kSum, kDifference = Operand::kDifference;
constexpr Target kNowhere = {-1, false};
constexpr Product kProducts[] = {
    {kSum, 0, 3, kSum, 0, 3, {{0, false}, {3, false}}},
    {kSum, 2, 3, kOne, 0, 0, {{2, false}, {3, true}}},
    {kOne, 0, 0, kDifference, 1, 3, {{1, false}, {3, false}}},
    {kOne, 3, 3, kDifference, 2, 0, {{0, false}, {2, false}}},
    {kSum, 0, 1, kOne, 3, 3, {{0, true}, {1, false}}},
    {kDifference, 2, 0, kSum, 0, 1, {{3, false}, kNowhere}},
    {kDifference, 1, 3, kSum, 2, 3, {{0, false}, kNowhere}},
};
constexpr int kCount = 7;

// Of the products that go to a quarter, the first and the last.
constexpr int kFirst[] = {0, 2, 1, 0}, kLast[] = {6, 4, 3, 5};

// partial += c or -= c; `fresh`: partial = c or -c.
void add(const Sums& c, bool minus, bool fresh, float* partial, int64_t ld) {
  for (int i = 0; i < kRows; ++i) {
#pragma GCC unroll 3
    for (int j = 0; j < kPanel; j += kLanes) {
      float* at = partial + i * ld + j;
      const Vec v = minus ? -load(c[i] + j) : load(c[i] + j);
      store(at, fresh ? v : load(at) + v);
    }
  }
}

// c = partial + c or partial - c.
void complete(Sums& c, bool minus, const float* partial, int64_t ld) {
  for (int i = 0; i < kRows; ++i) {
#pragma GCC unroll 3
    for (int j = 0; j < kPanel; j += kLanes) {
      const Vec v = load(c[i] + j), before = load(partial + i * ld + j);
      store(c[i] + j, minus ? before - v : before + v);
    }
  }
}

// Rows a power of two apart fall on the same lines of the first-level cache, which hold eight: the
// sixteen that a sum of blocks reads would throw each other out.
constexpr int64_t kGap = 16;
bool collide(int64_t ld) { return ld % 512 == 0; }

}  // namespace

StrassenShape strassen_shape() {
  // AVX2's 16 registers leave blocks of 4 rows, whose sums then need more loads than there is time
  // for: measured slower there.
  return {kLanes == 16, 2 * kRows, 2 * kPanel,
          kStrassenRows * (kStrassenColumns + kDepth + kGap) + kDepth / 2 * kPanel};
}

void strassen_tile(const F32Tile& t, float* scratch) {
  const int64_t half = t.rows / 2;
  float* summed = scratch;                         // [k / 2][panel]: of two panels
  float* partial = scratch + kDepth / 2 * kPanel;  // [rows, n]
  float* rows = partial + t.rows * t.n;            // [rows, kDepth + kGap]: x, where rows collide
  const bool copied = collide(t.ldx);
  const int64_t ldx = copied ? kDepth + kGap : t.ldx;
  const Finish finish = finish_for(t.act);
  alignas(64) Sums c;
  for (int64_t at = 0; at < t.k; at += kDepth) {
    const int64_t size = t.k - at < kDepth ? t.k - at : kDepth, depth = size / 2;
    const bool first_part = at == 0, last_part = at + size == t.k;
    const float* x = t.x + at;
    if (copied) {
      for (int64_t i = 0; i < t.rows; ++i) {
        memcpy(rows + i * ldx, x + i * t.ldx, static_cast<size_t>(size) * sizeof(float));
      }
      x = rows;
    }
    for (int m = 0; m < kCount; ++m) {
      const Product& p = kProducts[m];
      const auto x_of = [&](int quarter) {
        return x + quarter / 2 * half * ldx + quarter % 2 * depth;
      };
      const float *x1 = x_of(p.x1), *x2 = x_of(p.x2);
      const Multiply first = block_for(p.x, p.w), other = block_for(p.x, Operand::kOne);
      for (int64_t left = 0; left < t.n; left += 2 * kPanel) {
        const auto w_of = [&](int quarter) {
          return t.weights + (left + quarter % 2 * kPanel) * t.k +
                 (at + quarter / 2 * depth) * kPanel;
        };
        const float *w1 = w_of(p.w1), *w2 = w_of(p.w2);
        for (int64_t row = 0; row < half; row += kRows) {
          const int64_t from = row * ldx;
          if (row == 0) {
            first(x1, x2, ldx, w1, w2, summed, depth, c);
          } else {
            other(x1 + from, x2 + from, ldx, p.w == Operand::kOne ? w1 : summed, nullptr, nullptr,
                  depth, c);
          }
          for (const Target& to : p.to) {
            if (to.quarter < 0) continue;
            const int64_t y_row = to.quarter / 2 * half + row;
            const int64_t column = left + to.quarter % 2 * kPanel;
            float* y = partial + y_row * t.n + column;
            if (!last_part || m != kLast[to.quarter]) {
              add(c, to.minus, first_part && m == kFirst[to.quarter], y, t.n);
              continue;
            }
            complete(c, to.minus, y, t.n);
            finish(t, {y_row, kRows, column, true, true}, c);
          }
        }
      }
    }
  }
}

}  // namespace ACD_ISA
}  // namespace acd
