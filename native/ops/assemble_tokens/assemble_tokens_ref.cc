#include "ops/assemble_tokens/assemble_tokens.h"

namespace acd {

void assemble_tokens_ref(const AssembleTokensParams& p) {
  for (int64_t b = 0; b < p.batch; ++b)
    for (int64_t t = 0; t < p.tokens; ++t)
      for (int64_t i = 0; i < p.width; ++i) {
        float& x = p.x[(b * p.tokens + t) * p.width + i];
        x = (t == 0 ? p.class_embedding[i] : x) + p.positions[t * p.width + i];
      }
}

}  // namespace acd
