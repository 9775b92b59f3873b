// head: second half of an ACD-CLIP head, fused so that the [tokens, width] vectors stay in cache.
//
//   v = normalise(layer_norm(h W^T + b)) per token, h [tokens, k] already through LeakyReLU;
//   mean [width] = average of v over the tokens;
//   dots [tokens, columns] = v . text_c for every column c (when text is given);
//   vectors [tokens, width] = v (when asked for).
//   text [columns, width]; f32; eps of the norm 1e-12 as torch.nn.functional.normalize.
//   The mean is summed within tiles of 128 tokens, then in double over the tiles in order: the same
//   bytes for any number of threads.
//   Source: seg_proj / det_proj + layer norms of ACD-CLIP's image adapter.
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
  int64_t tokens;
  int64_t width;
};

void head_ref(const HeadParams& p, const LinearWeights& w);

}  // namespace acd
