#include <cmath>

#include "ops/linear/linear.h"

namespace acd {

void linear_ref(const LinearParams& p, const LinearWeights& w) {
  for (int64_t b = 0; b < p.batch; ++b) {
    for (int64_t i = 0; i < p.rows; ++i) {
      const float* x = p.x + b * p.batch_x + i * p.ldx;
      float* y = p.y + b * p.batch_y + i * p.ldy;
      for (int64_t j = 0; j < w.n; ++j) {
        double s = w.bias ? w.bias[j] : 0.0;
        for (int64_t k = 0; k < w.k; ++k) s += double{x[k]} * w.weight[j * w.k + k];
        if (p.accumulate) s += y[j];
        switch (p.act) {
          case Activation::kNone:
            break;
          case Activation::kGelu:
            s = 0.5 * s * (1 + std::erf(s / std::sqrt(2.0)));
            break;
          case Activation::kQuickGelu:
            s = s / (1 + std::exp(-1.702 * s));
            break;
          case Activation::kLeakyRelu:
            s = s < 0 ? 0.01 * s : s;
            break;
        }
        y[j] = static_cast<float>(s);
      }
    }
  }
}

}  // namespace acd
