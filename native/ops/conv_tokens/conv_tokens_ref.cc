#include "ops/conv_tokens/conv_tokens.h"

namespace acd {

void conv_tokens_ref(const ConvTokensParams& p) {
  const int64_t inputs = p.c_in / p.groups, outputs = p.c_out / p.groups;
  for (int64_t b = 0; b < p.batch; ++b) {
    for (int64_t y = 0; y < p.grid; ++y) {
      for (int64_t x = 0; x < p.grid; ++x) {
        for (int64_t o = 0; o < p.c_out; ++o) {
          double s = 0;
          for (int64_t c = 0; c < inputs; ++c) {
            for (int64_t ky = 0; ky < p.k; ++ky) {
              for (int64_t kx = 0; kx < p.k; ++kx) {
                const int64_t iy = y + ky - p.k / 2, ix = x + kx - p.k / 2;
                if (iy < 0 || iy >= p.grid || ix < 0 || ix >= p.grid) continue;
                s += double{p.weight[((o * inputs + c) * p.k + ky) * p.k + kx]} *
                     p.x[b * p.batch_x + (iy * p.grid + ix) * p.ldx + o / outputs * inputs + c];
              }
            }
          }
          p.y[b * p.batch_y + (y * p.grid + x) * p.ldy + o] = static_cast<float>(s);
        }
      }
    }
  }
}

}  // namespace acd
