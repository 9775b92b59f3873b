#include <cmath>

#include "ops/layer_norm/layer_norm.h"

namespace acd {

void layer_norm_ref(const LayerNormParams& p) {
  for (int64_t r = 0; r < p.rows; ++r) {
    const float* x = p.x + r * p.ldx;
    double mean = 0, var = 0;
    for (int64_t i = 0; i < p.width; ++i) mean += x[i];
    mean /= static_cast<double>(p.width);
    for (int64_t i = 0; i < p.width; ++i) var += (x[i] - mean) * (x[i] - mean);
    var /= static_cast<double>(p.width);
    for (int64_t i = 0; i < p.width; ++i) {
      p.y[r * p.ldy + i] =
          static_cast<float>((x[i] - mean) / std::sqrt(var + p.eps) * p.weight[i] + p.bias[i]);
    }
  }
}

}  // namespace acd
