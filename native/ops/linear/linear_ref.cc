#include <algorithm>
#include <cmath>
#include <vector>

#include "core/half.h"
#include "ops/linear/linear.h"

namespace acd {

double activated(Activation act, double s) {
  switch (act) {
    case Activation::kNone:
      return s;
    case Activation::kGelu:
      return 0.5 * s * (1 + std::erf(s / std::sqrt(2.0)));
    case Activation::kQuickGelu:
      return s / (1 + std::exp(-1.702 * s));
    case Activation::kLeakyRelu:
      return s < 0 ? 0.01 * s : s;
  }
  return s;
}

void linear_ref(const LinearParams& p, const LinearWeights& w) {
  const bool codes = w.type == NumberType::kInt8;
  std::vector<double> rounded;  // the codes of W times their scales
  for (int64_t j = 0; codes && j < w.n; ++j) {
    float top = 0;
    for (int64_t k = 0; k < w.k; ++k) top = std::max(top, std::fabs(w.weight[j * w.k + k]));
    const float inverse = top > 0 ? 127.0f / top : 0.0f, scale = top / 127.0f;
    for (int64_t k = 0; k < w.k; ++k)
      rounded.push_back(double{std::nearbyint(w.weight[j * w.k + k] * inverse)} * scale);
  }
  const bool floats = w.type == NumberType::kE4m3;
  if (floats) {
    std::vector<uint8_t> of_w(static_cast<size_t>(w.n * w.k));
    std::vector<float> scales(static_cast<size_t>(w.n));
    e4m3_rows(w.weight, w.n, w.k, of_w.data(), scales.data());
    for (size_t i = 0; i < of_w.size(); ++i)
      rounded.push_back(double{float_of_e4m3(of_w[i])} * scales[i / static_cast<size_t>(w.k)]);
  }
  const auto code = [&](int64_t row, int64_t i) {
    if (floats) return double{p.x_scales[row]} * float_of_e4m3(static_cast<const uint8_t*>(p.x)[i]);
    return p.x_rows[row].low + double{p.x_rows[row].scale} * static_cast<const uint8_t*>(p.x)[i];
  };
  const auto value = [&](int64_t at) {
    if (!p.round_x) return double{number_at(p.x, w.type, at)};
    return double{float_of_bf16(bf16_of_float(static_cast<const float*>(p.x)[at]))};
  };
  const auto weight = [&](int64_t i) -> double {
    if (codes || floats) return rounded[static_cast<size_t>(i)];
    if (w.type == NumberType::kF16) return float_of_f16(f16_of_float(w.weight[i]));
    return w.type == NumberType::kF32 ? w.weight[i] : float_of_bf16(bf16_of_float(w.weight[i]));
  };
  for (int64_t b = 0; b < p.batch; ++b) {
    for (int64_t i = 0; i < p.rows; ++i) {
      for (int64_t j = 0; j < w.n; ++j) {
        const int64_t to = b * p.batch_y + i * p.ldy + j;
        double s = w.bias ? w.bias[j] : 0.0;
        for (int64_t k = 0; k < w.k; ++k) {
          const int64_t at = b * p.batch_x + i * p.ldx + k;
          s += (codes || floats ? code(b * p.rows + i, at) : value(at)) * weight(j * w.k + k);
        }
        if (p.accumulate) s += number_at(p.y, p.y_type, to);
        put_number(p.y, p.y_type, to, static_cast<float>(activated(p.act, s)));
      }
    }
  }
}

}  // namespace acd
