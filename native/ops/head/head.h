// head: second half of an ACD-CLIP head, fused so that the [tokens, width] vectors stay in cache.
//
//   v = normalise(layer_norm(h W^T + b)) per token, h [tokens, k] already through LeakyReLU;
//   mean [width] = average of v over the tokens;
//   dots [tokens, columns] = v . text_c for every column c (when text is given);
//   vectors [tokens, width] = v (when asked for).
//   text [columns, width]; f32, or in bf16 (where a device rounds_to_bf16) h and W are rounded to
//   bf16, and the sums of their products and everything after them are f32; eps of the norm 1e-12
//   as torch.nn.functional.normalize. A batch of items, each with its own mean, dots, vectors and
//   text, those strides apart. The mean is summed within tiles of 128 tokens, then in double over
//   the tiles in order: the same bytes for any number of threads. Source: seg_proj / det_proj +
//   layer norms of ACD-CLIP's image adapter.
#pragma once

#include <cstdint>

#include "ops/linear/linear.h"

namespace acd {

struct HeadParams {
  const float* h;
  int64_t ldh;
  const PackedLinear* weights;  // [width, k]
  const float* norm_weight;     // [width]
  const float* norm_bias;
  const float* text;  // [columns, width] or null
  int64_t columns;
  float* mean;     // [width]
  float* dots;     // [tokens, columns] or null
  float* vectors;  // [tokens, width] or null
  int64_t tokens;  // of one item
  int64_t width;
  int64_t batch = 1;
  int64_t batch_h = 0;  // strides between items, elements
  int64_t batch_text = 0;
  int64_t batch_mean = 0;
  int64_t batch_dots = 0;
  int64_t batch_vectors = 0;
};

// Item `item` of a batch, alone.
inline HeadParams head_item(const HeadParams& p, int64_t item) {
  HeadParams one = p;
  one.batch = 1;
  one.h += item * p.batch_h;
  if (one.text) one.text += item * p.batch_text;
  one.mean += item * p.batch_mean;
  if (one.dots) one.dots += item * p.batch_dots;
  if (one.vectors) one.vectors += item * p.batch_vectors;
  return one;
}

void head_ref(const HeadParams& p, const LinearWeights& w);

}  // namespace acd
