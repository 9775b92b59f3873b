#include <cmath>
#include <vector>

#include "core/half.h"
#include "ops/head/head.h"

namespace acd {

namespace {

void head_one(const HeadParams& p, const LinearWeights& w) {
  const auto value = [&](float x) {
    return double{w.type == NumberType::kBf16 ? float_of_bf16(bf16_of_float(x)) : x};
  };
  std::vector<double> v(static_cast<size_t>(p.width)), sum(v.size(), 0.0);
  for (int64_t t = 0; t < p.tokens; ++t) {
    double mean = 0, var = 0, length = 0;
    for (int64_t i = 0; i < p.width; ++i) {
      v[i] = w.bias ? w.bias[i] : 0.0;
      for (int64_t k = 0; k < w.k; ++k)
        v[i] += value(p.h[t * p.ldh + k]) * value(w.weight[i * w.k + k]);
      mean += v[i];
    }
    mean /= static_cast<double>(p.width);
    for (double x : v) var += (x - mean) * (x - mean);
    var /= static_cast<double>(p.width);
    for (int64_t i = 0; i < p.width; ++i) {
      v[i] = (v[i] - mean) / std::sqrt(var + 1e-5) * p.norm_weight[i] + p.norm_bias[i];
      length += v[i] * v[i];
    }
    length = std::max(std::sqrt(length), 1e-12);
    for (int64_t i = 0; i < p.width; ++i) {
      v[i] /= length;
      sum[i] += v[i];
      if (p.vectors) p.vectors[t * p.width + i] = static_cast<float>(v[i]);
    }
    for (int64_t c = 0; p.dots && c < p.columns; ++c) {
      double d = 0;
      for (int64_t i = 0; i < p.width; ++i) d += v[i] * p.text[c * p.width + i];
      p.dots[t * p.columns + c] = static_cast<float>(d);
    }
  }
  for (int64_t i = 0; i < p.width; ++i)
    p.mean[i] = static_cast<float>(sum[i] / static_cast<double>(p.tokens));
}

}  // namespace

void head_ref(const HeadParams& p, const LinearWeights& w) {
  for (int64_t item = 0; item < p.batch; ++item) head_one(head_item(p, item), w);
}

}  // namespace acd
