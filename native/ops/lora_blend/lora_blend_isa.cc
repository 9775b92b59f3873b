// Four rows share every pass over `up` (128 KB for a ViT-L); their a stays in cache until the norms
// are known, then one read and one write of x.
#include "ops/lora_blend/lora_blend_isa.h"

#include "backend/cpu/simd.h"

namespace acd {
namespace ACD_ISA {
namespace {

constexpr int kRows = 4;

// a[r][0..width) = y_r up
inline void project(const LoraBlendParams& p, const float* const* y, float* a) {
  const int64_t full = p.width / kLanes * kLanes;
  for (int64_t i = 0; i < full; i += kLanes) {
    Vec acc[kRows] = {};
    for (int64_t k = 0; k < p.rank; ++k) {
      const Vec up = load(p.up + k * p.width + i);
      for (int r = 0; r < kRows; ++r) acc[r] += splat(y[r][k]) * up;
    }
    for (int r = 0; r < kRows; ++r) store(a + r * p.width + i, acc[r]);
  }
  for (int64_t i = full; i < p.width; ++i) {
    for (int r = 0; r < kRows; ++r) {
      float s = 0;
      for (int64_t k = 0; k < p.rank; ++k) s += y[r][k] * p.up[k * p.width + i];
      a[r * p.width + i] = s;
    }
  }
}

inline float norm(const float* x, int64_t n) {
  const int64_t full = n / kLanes * kLanes;
  Vec q = {};
  for (int64_t i = 0; i < full; i += kLanes) q += load(x + i) * load(x + i);
  float s = sum_lanes(q);
  for (int64_t i = full; i < n; ++i) s += x[i] * x[i];
  return __builtin_sqrtf(s);
}

inline void blend(float* x, const float* a, const float* mix, int64_t n) {
  const float size_a = norm(a, n);
  const float scale = size_a > 0 ? norm(x, n) / size_a : 0.0f;
  const int64_t full = n / kLanes * kLanes;
  for (int64_t i = 0; i < full; i += kLanes) {
    const Vec m = load(mix + i);
    store(x + i, (1.0f - m) * load(x + i) + m * (load(a + i) * scale));
  }
  for (int64_t i = full; i < n; ++i) x[i] = (1.0f - mix[i]) * x[i] + mix[i] * (a[i] * scale);
}

}  // namespace

int64_t lora_blend_scratch(const LoraBlendParams& p) { return kRows * p.width; }

void lora_blend_rows(const LoraBlendParams& p, int64_t begin, int64_t end, float* scratch) {
  for (int64_t row = begin; row < end; row += kRows) {
    const int64_t rows = end - row < kRows ? end - row : kRows;
    const float* y[kRows];
    for (int r = 0; r < kRows; ++r) y[r] = p.y + (row + (r < rows ? r : 0)) * p.ldy;
    project(p, y, scratch);
    for (int r = 0; r < rows; ++r)
      blend(p.x + (row + r) * p.ldx, scratch + r * p.width, p.mix, p.width);
  }
}

}  // namespace ACD_ISA
}  // namespace acd
