// fuse_map: from the patch-text dots of all groups to one probability map.
//
//   dots [G][tokens, 2G]: dots[i][n][2 j + c] = seg vector n of group i . text column c of group j;
//   gates [G][G, 2]. Patch logits of group i: l_c[n] = 10 * sum_j gates[i][j][c] *
//   dots[i][n][2j+c]. The published order is blur, upsample, mean over groups, softmax over the two
//   columns; all but the last are linear and a softmax of two is the sigmoid of the difference, so
//   here
//     d = mean over groups of (l_1 - l_0)              [g, g]
//     map = sigmoid(upsample(blur(d)))                 [S, S]
//   blur: separable Gaussian, `taps` (odd) normalised weights of `sigma`, border reflected without
//   repeating the edge; upsample: bilinear, align_corners = true. max = largest value of the map.
//   logits, when asked for, gets l as [G][2][tokens].
//   A batch of items, those strides apart, all blurred alike.
//   Source: group_logits, segment and predict of the reference.
#pragma once

#include <cstdint>

namespace acd {

struct FuseMapParams {
  const float* dots;
  const float* gates;
  int64_t groups;
  int64_t grid;
  int64_t size;
  int64_t taps;
  float sigma;
  float* map;     // [S, S]
  float* max;     // one value
  float* logits;  // [G][2][g * g] or null
  int64_t batch = 1;
  int64_t batch_dots = 0;  // strides between items, elements
  int64_t batch_gates = 0;
  int64_t batch_map = 0;
  int64_t batch_max = 0;
  int64_t batch_logits = 0;
};

// Item `item` of a batch, alone.
inline FuseMapParams fuse_map_item(const FuseMapParams& p, int64_t item) {
  FuseMapParams one = p;
  one.batch = 1;
  one.dots += item * p.batch_dots;
  one.gates += item * p.batch_gates;
  one.map += item * p.batch_map;
  one.max += item * p.batch_max;
  if (one.logits) one.logits += item * p.batch_logits;
  return one;
}

void fuse_map_ref(const FuseMapParams& p);

}  // namespace acd
