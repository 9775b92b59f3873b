// gather_tokens: text embedding, x[s, l] = table[ids[s, l]] + positions[l].
//
//   ids [sequences, length] int32, each in [0, vocabulary) (checked by the caller), table
//   [vocabulary, width] in f32, f16 or bf16 as the file had it, positions [>= length, width] f32,
//   x [sequences, length, width] f32. Source: token_embedding of CLIP's text tower.
//
//   kSeeded: no table is stored (metadata acd.token_embedding_seed of a checkpoint). Its element i
//   (row-major) is a function of the seed, computed in f32 and rounded after every step, so that
//   any language makes the same bits:
//
//     n = fmix32(i * 0x9E3779B9 + (fnv1a32("token_embedding.weight") ^ seed))   modulo 2^32
//     u = (n >> 8) * 2^-24                                                      in [0, 1), exact
//     table[i] = 0.2 * (2 u - 1)
//
//   fnv1a32 is FNV-1a over the name's bytes, fmix32 the finaliser of MurmurHash3.
#pragma once

#include <cstdint>

namespace acd {

enum class TableType { kF32, kF16, kBf16, kSeeded };

struct GatherTokensParams {
  const int32_t* ids;
  const void* table;  // ignored when seeded
  TableType type;
  const float* positions;
  float* x;
  int64_t sequences;
  int64_t length;
  int64_t width;
  uint32_t seed = 0;  // only when seeded
};

void gather_tokens_ref(const GatherTokensParams& p);

}  // namespace acd
