// The second half of head on CUDA, after the product with the head's weights; head.h says what it
// is. All pointers are device pointers.
#pragma once

#include <cstddef>
#include <cstdint>

#include "backend/cuda/numbers.h"
#include "ops/head/head.h"

namespace acd::cuda {

constexpr int64_t kMaxHeadWidth = 1536;

// v = normalise(layer_norm(y + bias)) of every token; mean, dots and vectors of it per item.
struct HeadArgs {
  const void* y;  // [batch, tokens, width], row stride ldy, item stride batch_y
  int64_t ldy;
  int64_t batch_y;
  Number y_type;      // kF32 or kBf16
  const float* bias;  // [width], of the product, or null where y has it
  const float* norm_weight;
  const float* norm_bias;
  const float* text;  // [columns, width] of each item, batch_text apart, or null
  int64_t batch_text;
  int64_t columns;
  float* mean;  // [width] of each item, batch_mean apart
  int64_t batch_mean;
  float* dots;  // [tokens, columns] of each item, batch_dots apart, or null
  int64_t batch_dots;
  float* vectors;  // [tokens, width] of each item, batch_vectors apart, or null
  int64_t batch_vectors;
  int64_t tokens;
  int64_t width;  // at most kMaxHeadWidth
  int64_t batch;
  float* scratch;  // head_scratch_bytes
};

// As the table asks for it, on the f32 product y [batch, tokens, width], dense and without its
// bias.
HeadArgs head_args(const HeadParams& p, const void* y, const float* bias);

size_t head_scratch_bytes(const HeadArgs& a);

// Returns cudaError_t.
int head(void* stream, const HeadArgs& a);

}  // namespace acd::cuda
