#include <cmath>
#include <vector>

#include "ops/gate/gate.h"

namespace acd {

namespace {

void gate_one(const GateParams& p, const GateWeights& w, const float* mean, float* out) {
  std::vector<double> h, e(static_cast<size_t>(2 * p.groups));
  for (int64_t i = 0; i < p.hidden; ++i) {
    double s = w.b1[i];
    for (int64_t k = 0; k < p.width; ++k) s += double{w.w1[i * p.width + k]} * mean[k];
    h.push_back(s * 0.5 * std::erfc(-s * M_SQRT1_2));
  }
  for (int64_t i = 0; i < 2 * p.groups; ++i) {
    double s = w.b2[i];
    for (int64_t k = 0; k < p.hidden; ++k) s += w.w2[i * p.hidden + k] * h[k];
    e[i] = std::exp(s);
  }
  for (int64_t i = 0; i < 2 * p.groups; ++i) {
    double total = 0;
    for (int64_t j = i % 2; j < 2 * p.groups; j += 2) total += e[j];
    out[i] = static_cast<float>(e[i] / total);
  }
}

}  // namespace

void gate_ref(const GateParams& p) {
  for (int64_t i = 0; i < p.batch * p.gates; ++i)
    gate_one(p, p.of[i % p.gates], p.mean + i * p.width, p.out + i * 2 * p.groups);
}

}  // namespace acd
