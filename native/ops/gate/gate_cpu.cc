// 0.4 MFLOP a group: plain loops in double.
#include <algorithm>
#include <cmath>

#include "backend/cpu/cpu_context.h"

namespace acd {
namespace {

double dot(const float* w, const float* x, int64_t n) {
  double s = 0;
  for (int64_t i = 0; i < n; ++i) s += double{w[i]} * x[i];
  return s;
}

// h [hidden], l [2 G]: scratch.
void gate_one(const GateParams& p, const GateWeights& w, const float* mean, float* h, double* l,
              float* out) {
  for (int64_t i = 0; i < p.hidden; ++i) {
    const double s = w.b1[i] + dot(w.w1 + i * p.width, mean, p.width);
    h[i] = static_cast<float>(0.5 * s * (1 + std::erf(s / std::sqrt(2.0))));
  }
  for (int64_t i = 0; i < 2 * p.groups; ++i) l[i] = w.b2[i] + dot(w.w2 + i * p.hidden, h, p.hidden);
  for (int64_t c = 0; c < 2; ++c) {
    double top = l[c], total = 0;
    for (int64_t j = 0; j < p.groups; ++j) top = std::max(top, l[2 * j + c]);
    for (int64_t j = 0; j < p.groups; ++j) total += l[2 * j + c] = std::exp(l[2 * j + c] - top);
    for (int64_t j = 0; j < p.groups; ++j)
      out[2 * j + c] = static_cast<float>(l[2 * j + c] / total);
  }
}

}  // namespace

void gate_cpu(CpuContext&, const GateParams& p) {
  auto* l = reinterpret_cast<double*>(CpuContext::shared_scratch(4 * p.groups + p.hidden));
  auto* h = reinterpret_cast<float*>(l + 2 * p.groups);
  for (int64_t i = 0; i < p.batch * p.gates; ++i)
    gate_one(p, p.of[i % p.gates], p.mean + i * p.width, h, l, p.out + i * 2 * p.groups);
}

}  // namespace acd
