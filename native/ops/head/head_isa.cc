#include "ops/head/head_isa.h"

#include "backend/cpu/simd.h"

namespace acd {
namespace ACD_ISA {
namespace {

constexpr float kLayerNormEps = 1e-5f;
constexpr float kNormaliseEps = 1e-12f;

// Layer norm, then unit length; width is a multiple of 64 (checked when the model is built) or any
// other number when called from tests: the tail is scalar.
inline void normalise(const HeadParams& p, float* y) {
  const int64_t n = p.width, full = n / kLanes * kLanes;
  float mean, rstd;
  row_moments(y, n, kLayerNormEps, &mean, &rstd);
  Vec l = {};
  for (int64_t i = 0; i < full; i += kLanes) {
    const Vec v = (load(y + i) - mean) * rstd * load(p.norm_weight + i) + load(p.norm_bias + i);
    store(y + i, v);
    l += v * v;
  }
  float length = sum_lanes(l);
  for (int64_t i = full; i < n; ++i) {
    y[i] = (y[i] - mean) * rstd * p.norm_weight[i] + p.norm_bias[i];
    length += y[i] * y[i];
  }
  length = __builtin_sqrtf(length);
  const float inverse = 1.0f / (length > kNormaliseEps ? length : kNormaliseEps);
  for (int64_t i = 0; i < full; i += kLanes) store(y + i, load(y + i) * inverse);
  for (int64_t i = full; i < n; ++i) y[i] *= inverse;
}

inline float dot(const float* a, const float* b, int64_t n) {
  const int64_t full = n / kLanes * kLanes;
  Vec s = {};
  for (int64_t i = 0; i < full; i += kLanes) s += load(a + i) * load(b + i);
  float sum = sum_lanes(s);
  for (int64_t i = full; i < n; ++i) sum += a[i] * b[i];
  return sum;
}

}  // namespace

void head_rows(const HeadParams& p, float* y, int64_t first, int64_t rows, float* sum) {
  for (int64_t r = 0; r < rows; ++r) {
    float* v = y + r * p.width;
    normalise(p, v);
    for (int64_t i = 0; i < p.width; ++i) sum[i] += v[i];
    const int64_t token = first + r;
    for (int64_t c = 0; p.dots && c < p.columns; ++c) {
      p.dots[token * p.columns + c] = dot(v, p.text + c * p.width, p.width);
    }
    if (p.vectors)
      memcpy(p.vectors + token * p.width, v, static_cast<size_t>(p.width) * sizeof(float));
  }
}

}  // namespace ACD_ISA
}  // namespace acd
