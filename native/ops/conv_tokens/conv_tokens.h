// conv_tokens: a k x k convolution over a token grid, stride 1, zero padding k/2, no bias.
//
//   x [batch, g * g, c_in] (token-major; row stride ldx, item stride batch_x),
//   weight [c_out, c_in / groups, k, k] as torch.nn.Conv2d keeps it,
//   y [batch, g * g, c_out] (row stride ldy, item stride batch_y); f32; x and y must not overlap.
//   groups = 1 is dense; groups = c_in = c_out is depthwise.
//   Gradient: dx is the same convolution of dy with the taps mirrored and in/out swapped;
//   dw[o, i, tap] = sum over tokens of dy[token, o] * x[token + tap, i].
//   Source: conv_lora_A and conv_lora_B of ACD-CLIP's Conv-LoRA adapter.
#pragma once

#include <cstdint>

namespace acd {

struct ConvTokensParams {
  const float* x;
  int64_t ldx;
  int64_t batch_x;
  const float* weight;
  float* y;
  int64_t ldy;
  int64_t batch_y;
  int64_t batch;
  int64_t grid;
  int64_t c_in;
  int64_t c_out;
  int64_t k;
  int64_t groups = 1;
};

void conv_tokens_ref(const ConvTokensParams& p);

}  // namespace acd
