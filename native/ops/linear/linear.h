// linear: y = act(x W^T + b) + residual.
//
//   x [rows, k] with row stride ldx, W [n, k], b [n] or null, y [rows, n] with row stride ldy.
//   All f32, or in bf16: W is rounded to bf16 once, x is bf16, products are exact and their sum, b,
//   act and residual are f32; y is f32, or rounded to bf16 at the end (`y_type`). In f16 the same,
//   y being f32 or f16.
//   With `round_x` (where a device rounds_to_bf16) x is f32 beside weights in bf16, and rounded to
//   it first. Dense rows (ldx = k, ldy = n) are quickest in bf16; others are right and slow. Or in
//   int8: x is codes with a RowScale a row (`x_rows`, of all items one after the other), W is
//   rounded once to codes -127..127 with a scale an output channel, round(W * (127 / max |W|)) in
//   f32; products and sums of codes are integers, exact up to kMaxInt8Depth; what they stand for,
//   b, act and residual are f32. ldx and batch_x are multiples of 4, and the bytes of a row up to a
//   multiple of 4 are read, whatever they hold.
//   Or in fp8 (kE4m3, core/number.h): x is codes with a scale a row (`x_scales`, of all items one
//   after the other), W is rounded once to codes with a scale an output channel; products of codes
//   are exact, their sums, scales, b, act and residual f32; y is f32 or bf16. n and k are multiples
//   of 16, rows and items are dense.
//   act: none | exact GELU x Phi(x) | QuickGELU x sigmoid(1.702 x) | LeakyReLU(0.01).
//   residual: when `accumulate`, the old contents of y (f32) are added after b (act must be none).
//   On a CPU with AVX-512, f32 products of many rows (linear_f32_cpu.cc has the bounds) are made
//   Strassen's way, in 7/8 of the multiplications: as exact against the largest value of the tile
//   as the plain way within a factor of three, but two rows of an item meet in its sums, so that a
//   NaN or an infinity in one can reach the other. Gradients: dx = dy W, dW = dy^T x, db = sum of
//   dy over rows (dy already through act'). Source: torch.nn.Linear; the MLP and attention
//   projections of CLIP's ResidualAttentionBlock.
//
// The weights are packed once for the backend. Rows and columns are cut in tiles that depend on the
// shape alone, so a row's bytes do not depend on the number of threads. They may depend on `rows`:
// a caller that wants the same bytes for an image alone and in a batch passes `batch` > 1 with
// `rows` per item instead of folding the batch into the rows.
#pragma once

#include <cstdint>

#include "core/number.h"

namespace acd {

enum class Activation { kNone, kGelu, kQuickGelu, kLeakyRelu };

struct PackedLinear;  // the backend's own

// 255 * 127 * this fits an int32.
constexpr int64_t kMaxInt8Depth = 66000;

struct LinearWeights {
  const float* weight;  // [n, k] row-major
  const float* bias;    // [n] or null
  int64_t n;
  int64_t k;
  NumberType type = NumberType::kF32;  // that of x, and what W is rounded to
};

struct LinearParams {
  const void* x;  // of the type that the weights were packed for
  int64_t ldx;
  const PackedLinear* weights;
  void* y;
  int64_t ldy;
  int64_t rows;
  Activation act = Activation::kNone;
  bool accumulate = false;
  int64_t batch = 1;    // items, each `rows` rows
  int64_t batch_x = 0;  // stride between items of x, elements
  int64_t batch_y = 0;
  NumberType y_type = NumberType::kF32;  // or kBf16, kF16
  const RowScale* x_rows = nullptr;      // [batch, rows], for kInt8
  const float* x_scales = nullptr;       // [batch, rows], for kE4m3
  bool round_x = false;                  // of f32 to the weights' bf16
  int64_t k = 0, n = 0;                  // what a profile shows; 0: ldx and ldy
};

// act(s) in double, as references have it.
double activated(Activation act, double s);

void linear_ref(const LinearParams& p, const LinearWeights& w);

}  // namespace acd
