// attention: o = softmax(q k^T / 8 [+ causal mask]) v, per head of width 64.
//
//   qkv [batch, tokens, 3 * heads * 64]: q, k, v stacked in the last axis, read in place;
//   out [batch, tokens, heads * 64]; f32, bf16 or f16. Causal: key j only for query i >= j.
//   In bf16 the products' inputs are bf16 (the weights of the keys are rounded to it, before their
//   sum is taken), sums and the softmax f32; out is rounded at the end. In f16 the same.
//   With int8_scores, on the CPU, in bf16 and without a mask, q and k are rounded to 8 bits before
//   they are multiplied: q with a step a token, k, after a head's mean over its tokens was taken
//   away, with a step for every 64 tokens. That mean adds the same to all scores of a query, which
//   a softmax does not see.
//   The tokens x tokens matrix is never written: a block of query rows is scored against all keys
//   in scratch that stays in cache, exponentiated there and multiplied with v.
//   Gradient: with P the softmax and D = rowsum(do * o): dv = P^T do, dS = P * (do v^T - D),
//   dq = dS k / 8, dk = dS^T q / 8.
//   Source: torch.nn.MultiheadAttention without dropout.
#pragma once

#include <cstdint>

#include "core/number.h"

namespace acd {

constexpr int64_t kHeadWidth = 64;

struct AttentionParams {
  const void* qkv;
  void* out;
  int64_t batch;
  int64_t tokens;
  int64_t heads;
  bool causal = false;
  NumberType type = NumberType::kF32;
  bool int8_scores = false;
};

void attention_ref(const AttentionParams& p);

}  // namespace acd
