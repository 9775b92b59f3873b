// gather_tokens: text embedding, x[s, l] = table[ids[s, l]] + positions[l].
//
//   ids [sequences, length] int32, each in [0, vocabulary) (checked by the caller), table
//   [vocabulary, width] in f32, f16 or bf16 as the file had it, positions [>= length, width] f32,
//   x [sequences, length, width] f32. Source: token_embedding of CLIP's text tower.
#pragma once

#include <cstdint>

namespace acd {

enum class TableType { kF32, kF16, kBf16 };

struct GatherTokensParams {
  const int32_t* ids;
  const void* table;
  TableType type;
  const float* positions;
  float* x;
  int64_t sequences;
  int64_t length;
  int64_t width;
};

void gather_tokens_ref(const GatherTokensParams& p);

}  // namespace acd
