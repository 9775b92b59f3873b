// gate: dynamic fusion weights of one group.
//
//   h = gelu(W1 m + b1), m [width] the mean seg vector, W1 [hidden, width];
//   l = W2 h + b2, W2 [2G, hidden], viewed as [G, 2]; out [G, 2] = softmax over G per column.
//   f32, accumulated in double; exact GELU always (the QuickGELU option is the backbone's).
//   Source: vision_text_gate of ACD-CLIP's image adapter.
#pragma once

#include <cstdint>

namespace acd {

struct GateParams {
  const float* mean;
  const float* w1;
  const float* b1;
  const float* w2;
  const float* b2;
  float* out;
  int64_t width;
  int64_t hidden;
  int64_t groups;
};

void gate_ref(const GateParams& p);

}  // namespace acd
