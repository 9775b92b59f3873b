// linear: y = act(x W^T + b) + residual.
//
//   x [rows, k] with row stride ldx, W [n, k], b [n] or null, y [rows, n] with row stride ldy; f32.
//   act: none | exact GELU x Phi(x) | QuickGELU x sigmoid(1.702 x) | LeakyReLU(0.01).
//   residual: when `accumulate`, the old contents of y are added after b (act must be none).
//   Gradients: dx = dy W, dW = dy^T x, db = sum of dy over rows (dy already through act').
//   Source: torch.nn.Linear; the MLP and attention projections of CLIP's ResidualAttentionBlock.
//
// The weights are packed once for the backend. Rows and columns are cut in tiles that depend on the
// shape alone, so a row's bytes do not depend on the number of threads. They may depend on `rows`:
// a caller that wants the same bytes for an image alone and in a batch passes `batch` > 1 with
// `rows` per item instead of folding the batch into the rows.
#pragma once

#include <cstdint>

namespace acd {

enum class Activation { kNone, kGelu, kQuickGelu, kLeakyRelu };

struct PackedLinear;  // the backend's own

struct LinearWeights {
  const float* weight;  // [n, k] row-major
  const float* bias;    // [n] or null
  int64_t n;
  int64_t k;
};

struct LinearParams {
  const float* x;
  int64_t ldx;
  const PackedLinear* weights;
  float* y;
  int64_t ldy;
  int64_t rows;
  Activation act = Activation::kNone;
  bool accumulate = false;
  int64_t batch = 1;    // items, each `rows` rows
  int64_t batch_x = 0;  // stride between items of x, elements
  int64_t batch_y = 0;
};

void linear_ref(const LinearParams& p, const LinearWeights& w);

}  // namespace acd
