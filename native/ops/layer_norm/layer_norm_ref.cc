#include <cmath>
#include <vector>

#include "core/half.h"
#include "ops/layer_norm/layer_norm.h"
#include "ops/quantize/quantize.h"

namespace acd {

void layer_norm_ref(const LayerNormParams& p) {
  std::vector<float> row(static_cast<size_t>(p.width));
  for (int64_t r = 0; r < p.rows; ++r) {
    const float* x = p.x + r * p.ldx;
    double mean = 0, var = 0;
    for (int64_t i = 0; i < p.width; ++i) mean += x[i];
    mean /= static_cast<double>(p.width);
    for (int64_t i = 0; i < p.width; ++i) var += (x[i] - mean) * (x[i] - mean);
    var /= static_cast<double>(p.width);
    for (int64_t i = 0; i < p.width; ++i) {
      const auto y =
          static_cast<float>((x[i] - mean) / std::sqrt(var + p.eps) * p.weight[i] + p.bias[i]);
      if (p.y_type == NumberType::kInt8 || p.y_type == NumberType::kE4m3)
        row[static_cast<size_t>(i)] = y;
      else
        put_number(p.y, p.y_type, r * p.ldy + i, y);
    }
    QuantizeParams q = {
        row.data(), p.width, NumberType::kF32, static_cast<uint8_t*>(p.y) + r * p.ldy, p.ldy,
        nullptr,    1,       p.width};
    q.y_type = p.y_type;
    if (p.y_type == NumberType::kInt8) {
      q.scales = p.y_rows + r;
      quantize_ref(q);
    } else if (p.y_type == NumberType::kE4m3) {
      q.y_scales = p.y_scales + r;
      quantize_ref(q);
    }
  }
}

}  // namespace acd
