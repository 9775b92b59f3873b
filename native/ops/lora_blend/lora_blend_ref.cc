#include <cmath>
#include <vector>

#include "ops/lora_blend/lora_blend.h"

namespace acd {

void lora_blend_ref(const LoraBlendParams& p) {
  std::vector<double> a(static_cast<size_t>(p.width));
  for (int64_t row = 0; row < p.batch * p.rows; ++row) {
    const int64_t item = row / p.rows, r = row % p.rows;
    float* x = p.x + item * p.batch_x + r * p.ldx;
    const float* y = p.y + item * p.batch_y + r * p.ldy;
    double aa = 0, xx = 0;
    for (int64_t i = 0; i < p.width; ++i) {
      a[i] = 0;
      for (int64_t k = 0; k < p.rank; ++k) a[i] += double{y[k]} * p.up[k * p.width + i];
      aa += a[i] * a[i];
      xx += double{x[i]} * x[i];
    }
    const double scale = aa > 0 ? std::sqrt(xx) / std::sqrt(aa) : 0.0;
    for (int64_t i = 0; i < p.width; ++i) {
      x[i] = static_cast<float>((1.0 - p.mix[i]) * x[i] + p.mix[i] * a[i] * scale);
    }
  }
}

}  // namespace acd
