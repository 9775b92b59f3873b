#include <cmath>

#include "core/half.h"
#include "ops/linear/linear.h"

namespace acd {

void linear_ref(const LinearParams& p, const LinearWeights& w) {
  const auto load = [&](const void* from, NumberType type, int64_t i) -> double {
    return type == NumberType::kF32 ? static_cast<const float*>(from)[i]
                                    : float_of_bf16(static_cast<const uint16_t*>(from)[i]);
  };
  const auto weight = [&](int64_t i) -> double {
    return w.type == NumberType::kF32 ? w.weight[i] : float_of_bf16(bf16_of_float(w.weight[i]));
  };
  for (int64_t b = 0; b < p.batch; ++b) {
    for (int64_t i = 0; i < p.rows; ++i) {
      for (int64_t j = 0; j < w.n; ++j) {
        const int64_t to = b * p.batch_y + i * p.ldy + j;
        double s = w.bias ? w.bias[j] : 0.0;
        for (int64_t k = 0; k < w.k; ++k)
          s += load(p.x, w.type, b * p.batch_x + i * p.ldx + k) * weight(j * w.k + k);
        if (p.accumulate) s += load(p.y, p.y_type, to);
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
        const auto y = static_cast<float>(s);
        if (p.y_type == NumberType::kF32)
          static_cast<float*>(p.y)[to] = y;
        else
          static_cast<uint16_t*>(p.y)[to] = bf16_of_float(y);
      }
    }
  }
}

}  // namespace acd
