#include "ops/layer_norm/layer_norm_isa.h"

#include "ops/quantize/quantize_row.h"

namespace acd {
namespace ACD_ISA {
namespace {

inline void put(float* y, Vec v) { store(y, v); }
inline void put(uint16_t* y, Vec v) { store_bf16(y, v); }

inline void put_one(float* y, float v) { *y = v; }
inline void put_one(uint16_t* y, float v) { store_bf16(y, splat(v), 1); }

template <typename T>
void normalise_rows(const LayerNormParams& p, int64_t begin, int64_t end) {
  const int64_t n = p.width;
  const int64_t full = n / kLanes * kLanes;
  for (int64_t r = begin; r < end; ++r) {
    const float* x = p.x + r * p.ldx;
    T* y = static_cast<T*>(p.y) + r * p.ldy;
    float mean, rstd;
    row_moments(x, n, p.eps, &mean, &rstd);
    for (int64_t i = 0; i < full; i += kLanes) {
      put(y + i, (load(x + i) - mean) * rstd * load(p.weight + i) + load(p.bias + i));
    }
    for (int64_t i = full; i < n; ++i)
      put_one(y + i, (x[i] - mean) * rstd * p.weight[i] + p.bias[i]);
  }
}

struct NormalisedRow {
  const float *x, *weight, *bias;
  float mean, rstd;
  Vec operator()(int64_t i) const {
    return (load(x + i) - mean) * rstd * load(weight + i) + load(bias + i);
  }
  float one(int64_t i) const { return (x[i] - mean) * rstd * weight[i] + bias[i]; }
};

void quantize_normalised(const LayerNormParams& p, int64_t begin, int64_t end) {
  for (int64_t r = begin; r < end; ++r) {
    NormalisedRow row{p.x + r * p.ldx, p.weight, p.bias, 0, 0};
    row_moments(row.x, p.width, p.eps, &row.mean, &row.rstd);
    p.y_rows[r] = quantize_row(row, p.width, static_cast<uint8_t*>(p.y) + r * p.ldy);
  }
}

}  // namespace

void layer_norm_rows(const LayerNormParams& p, int64_t begin, int64_t end) {
  if (p.y_type == NumberType::kF32)
    normalise_rows<float>(p, begin, end);
  else if (p.y_type == NumberType::kInt8)
    quantize_normalised(p, begin, end);
  else
    normalise_rows<uint16_t>(p, begin, end);
}

}  // namespace ACD_ISA
}  // namespace acd
