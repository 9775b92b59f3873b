// assemble_tokens: class token first, patch embeddings after it, positions added.
//
//   x [batch, 1 + n, width]: rows 1.. hold the patch embeddings already; row 0 is written as
//   class_embedding + positions[0], row i becomes itself + positions[i]. positions [1 + n, width].
//   Source: VisionTransformer._embeds of CLIP.
#pragma once

#include <cstdint>

namespace acd {

struct AssembleTokensParams {
  float* x;
  const float* class_embedding;
  const float* positions;
  int64_t batch;
  int64_t tokens;  // 1 + n
  int64_t width;
};

void assemble_tokens_ref(const AssembleTokensParams& p);

}  // namespace acd
