#include "ops/layer_norm/layer_norm_isa.h"

#include "backend/cpu/simd.h"

namespace acd {
namespace ACD_ISA {

void layer_norm_rows(const LayerNormParams& p, int64_t begin, int64_t end) {
  const int64_t n = p.width;
  const int64_t full = n / kLanes * kLanes;
  for (int64_t r = begin; r < end; ++r) {
    const float* x = p.x + r * p.ldx;
    float* y = p.y + r * p.ldy;
    float mean, rstd;
    row_moments(x, n, p.eps, &mean, &rstd);
    for (int64_t i = 0; i < full; i += kLanes) {
      store(y + i, (load(x + i) - mean) * rstd * load(p.weight + i) + load(p.bias + i));
    }
    for (int64_t i = full; i < n; ++i) y[i] = (x[i] - mean) * rstd * p.weight[i] + p.bias[i];
  }
}

}  // namespace ACD_ISA
}  // namespace acd
