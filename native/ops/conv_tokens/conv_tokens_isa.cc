// Channels of a token are neighbours in memory, so a vector holds output channels: for every tap
// and input channel one broadcast and one multiply-add. The adapters have 8 or 16 outputs: one
// vector.
#include "ops/conv_tokens/conv_tokens_isa.h"

#include "backend/cpu/simd.h"

namespace acd {
namespace ACD_ISA {
namespace {

inline int64_t limit(int64_t v, int64_t low, int64_t high) {
  return v < low ? low : v > high ? high : v;
}

// One vector of output channels at one token.
inline Vec convolve(const ConvTokensParams& p, const float* x, const float* packed, int64_t inputs,
                    int64_t outputs, int64_t row, int64_t column) {
  const int64_t half = p.k / 2;
  const int64_t ky0 = limit(half - row, 0, p.k), ky1 = limit(p.grid + half - row, 0, p.k);
  const int64_t kx0 = limit(half - column, 0, p.k), kx1 = limit(p.grid + half - column, 0, p.k);
  Vec acc = {};
  for (int64_t ky = ky0; ky < ky1; ++ky) {
    for (int64_t kx = kx0; kx < kx1; ++kx) {
      const float* token = x + ((row + ky - half) * p.grid + column + kx - half) * p.ldx;
      const float* tap = packed + (ky * p.k + kx) * inputs * outputs;
      for (int64_t c = 0; c < inputs; ++c) acc += splat(token[c]) * load(tap + c * outputs);
    }
  }
  return acc;
}

}  // namespace

int64_t conv_tokens_padded_outputs(const ConvTokensParams& p) {
  return (p.c_out / p.groups + kLanes - 1) / kLanes * kLanes;
}

void conv_tokens_rows(const ConvTokensParams& p, const float* packed, int64_t item,
                      int64_t row_begin, int64_t row_end) {
  const int64_t inputs = p.c_in / p.groups, real = p.c_out / p.groups;
  const int64_t outputs = conv_tokens_padded_outputs(p);
  for (int64_t g = 0; g < p.groups; ++g) {
    const float* x = p.x + item * p.batch_x + g * inputs;
    const float* weights = packed + g * p.k * p.k * inputs * outputs;
    for (int64_t row = row_begin; row < row_end; ++row) {
      for (int64_t column = 0; column < p.grid; ++column) {
        float* y = p.y + item * p.batch_y + (row * p.grid + column) * p.ldy + g * real;
        for (int64_t o = 0; o < real; o += kLanes) {
          const Vec v = convolve(p, x, weights + o, inputs, outputs, row, column);
          const int64_t n = real - o < kLanes ? real - o : kLanes;
          memcpy(y + o, &v, static_cast<size_t>(n) * sizeof(float));
        }
      }
    }
  }
}

}  // namespace ACD_ISA
}  // namespace acd
