#include <cmath>
#include <vector>

#include "ops/lora_blend/lora_blend.h"

namespace acd {

void lora_blend_ref(const LoraBlendParams& p) {
  std::vector<double> a(static_cast<size_t>(p.width));
  for (int64_t r = 0; r < p.rows; ++r) {
    float* x = p.x + r * p.ldx;
    double aa = 0, xx = 0;
    for (int64_t i = 0; i < p.width; ++i) {
      a[i] = 0;
      for (int64_t k = 0; k < p.rank; ++k)
        a[i] += double{p.y[r * p.ldy + k]} * p.up[k * p.width + i];
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
