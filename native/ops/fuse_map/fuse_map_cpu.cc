// One channel at g x g (difference of the logits, averaged over groups), blurred, then one pass
// over the S x S pixels: upsample, sigmoid and the running maximum.
#include <algorithm>
#include <cmath>

#include "backend/cpu/cpu_context.h"

namespace acd {
namespace {

// -1 -> 1, n -> n - 2: reflected without repeating the edge, also for grids narrower than the taps.
int64_t reflect(int64_t i, int64_t n) {
  if (n == 1) return 0;
  const int64_t period = 2 * (n - 1);
  i = std::abs(i) % period;
  return i < n ? i : period - i;
}

void gaussian(int64_t taps, float sigma, float* w) {
  const auto at = [&](int64_t i) {
    const double t = static_cast<double>(i - taps / 2);
    return taps == 1 ? 1.0 : std::exp(-t * t / (2.0 * sigma * sigma));
  };
  double total = 0;
  for (int64_t i = 0; i < taps; ++i) total += at(i);
  for (int64_t i = 0; i < taps; ++i) w[i] = static_cast<float>(at(i) / total);
}

// Mean over groups of abnormal minus normal logits, into d [g, g].
void difference(const FuseMapParams& p, float* d) {
  const int64_t n = p.grid * p.grid, columns = 2 * p.groups;
  std::fill_n(d, n, 0.0f);
  for (int64_t i = 0; i < p.groups; ++i) {
    const float* gate = p.gates + i * columns;
    for (int64_t t = 0; t < n; ++t) {
      const float* dots = p.dots + (i * n + t) * columns;
      float normal = 0, abnormal = 0;
      for (int64_t j = 0; j < p.groups; ++j) {
        normal += gate[2 * j] * dots[2 * j];
        abnormal += gate[2 * j + 1] * dots[2 * j + 1];
      }
      d[t] += 10.0f * (abnormal - normal);
      if (p.logits) {
        p.logits[(i * 2) * n + t] = 10.0f * normal;
        p.logits[(i * 2 + 1) * n + t] = 10.0f * abnormal;
      }
    }
  }
  for (int64_t t = 0; t < n; ++t) d[t] /= static_cast<float>(p.groups);
}

// d [g, g] in place; rows [g, g]: scratch.
void blur(float* d, int64_t g, const float* w, int64_t taps, float* rows) {
  const int64_t half = taps / 2;
  for (int64_t y = 0; y < g; ++y) {
    for (int64_t x = 0; x < g; ++x) {
      float s = 0;
      for (int64_t k = -half; k <= half; ++k) s += w[k + half] * d[y * g + reflect(x + k, g)];
      rows[y * g + x] = s;
    }
  }
  for (int64_t y = 0; y < g; ++y) {
    for (int64_t x = 0; x < g; ++x) {
      float s = 0;
      for (int64_t k = -half; k <= half; ++k) s += w[k + half] * rows[reflect(y + k, g) * g + x];
      d[y * g + x] = s;
    }
  }
}

// A NaN must not hide behind comparisons: it wins.
float larger(float a, float b) { return b > a || b != b ? b : a; }

void fuse_one(CpuContext& cpu, const FuseMapParams& p) {
  const int64_t n = p.grid * p.grid, height = 16;
  const int64_t bands = (p.size + height - 1) / height;
  float* d = CpuContext::shared_scratch(2 * n + p.taps + bands);
  float *rows = d + n, *w = rows + n, *tops = w + p.taps;
  difference(p, d);
  gaussian(p.taps, p.sigma, w);
  blur(d, p.grid, w, p.taps, rows);
  std::fill_n(tops, bands, 0.0f);
  const double step =
      p.size > 1 ? static_cast<double>(p.grid - 1) / static_cast<double>(p.size - 1) : 0.0;
  cpu.run(bands, [&](int64_t band) {
    for (int64_t y = band * height; y < std::min(p.size, (band + 1) * height); ++y) {
      const double fy = static_cast<double>(y) * step;
      const auto y0 = static_cast<int64_t>(fy);
      const int64_t y1 = std::min(y0 + 1, p.grid - 1);
      const auto wy = static_cast<float>(fy - static_cast<double>(y0));
      for (int64_t x = 0; x < p.size; ++x) {
        const double fx = static_cast<double>(x) * step;
        const auto x0 = static_cast<int64_t>(fx);
        const int64_t x1 = std::min(x0 + 1, p.grid - 1);
        const auto wx = static_cast<float>(fx - static_cast<double>(x0));
        const float top = d[y0 * p.grid + x0] * (1 - wx) + d[y0 * p.grid + x1] * wx;
        const float bottom = d[y1 * p.grid + x0] * (1 - wx) + d[y1 * p.grid + x1] * wx;
        const float v = 1.0f / (1.0f + std::exp(-(top * (1 - wy) + bottom * wy)));
        p.map[y * p.size + x] = v;
        tops[band] = larger(tops[band], v);
      }
    }
  });
  *p.max = 0;
  for (int64_t band = 0; band < bands; ++band) *p.max = larger(*p.max, tops[band]);
}

}  // namespace

void fuse_map_cpu(CpuContext& cpu, const FuseMapParams& p) {
  for (int64_t item = 0; item < p.batch; ++item) fuse_one(cpu, fuse_map_item(p, item));
}

}  // namespace acd
