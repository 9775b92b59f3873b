// gate: dynamic fusion weights, of several groups and items at once.
//
//   Of each item and gate i, with the weights of gate i:
//   h = gelu(W1 m + b1), m [width] the mean seg vector, W1 [hidden, width];
//   l = W2 h + b2, W2 [2G, hidden], viewed as [G, 2]; out [G, 2] = softmax over G per column.
//   f32, accumulated in double; exact GELU always (the QuickGELU option is the backbone's).
//   Source: vision_text_gate of ACD-CLIP's image adapter.
#pragma once

#include <cstdint>

namespace acd {

struct GateWeights {
  const float* w1;  // [hidden, width]
  const float* b1;  // [hidden]
  const float* w2;  // [2G, hidden]
  const float* b2;  // [2G]
};

struct GateParams {
  const float* mean;      // [batch, gates, width]
  const GateWeights* of;  // [gates], in host memory whatever the device
  float* out;             // [batch, gates, G, 2]
  int64_t width;
  int64_t hidden;
  int64_t groups;  // G
  int64_t gates = 1;
  int64_t batch = 1;
};

void gate_ref(const GateParams& p);

}  // namespace acd
