// The published order: per group blur and upsample both channels, average, softmax.
#include <algorithm>
#include <cmath>
#include <vector>

#include "ops/fuse_map/fuse_map.h"

namespace acd {
namespace {

using Plane = std::vector<double>;

Plane blurred(const Plane& in, int64_t g, int64_t taps, double sigma) {
  Plane w, out = in;
  double total = 0;
  for (int64_t k = -(taps / 2); k <= taps / 2; ++k)
    w.push_back(std::exp(-double(k * k) / (2 * sigma * sigma)));
  for (double v : w) total += v;
  for (int axis = 0; axis < 2; ++axis) {
    const Plane from = out;
    for (int64_t y = 0; y < g; ++y) {
      for (int64_t x = 0; x < g; ++x) {
        double s = 0;
        for (int64_t k = 0; k < taps; ++k) {
          int64_t i = (axis ? y : x) + k - taps / 2;
          while (g > 1 && (i < 0 || i >= g)) i = i < 0 ? -i : 2 * (g - 1) - i;
          if (g == 1) i = 0;
          s += w[k] / total * from[axis ? i * g + x : y * g + i];
        }
        out[y * g + x] = s;
      }
    }
  }
  return out;
}

Plane upsampled(const Plane& in, int64_t g, int64_t size) {
  Plane out(static_cast<size_t>(size * size));
  for (int64_t y = 0; y < size; ++y) {
    for (int64_t x = 0; x < size; ++x) {
      const double step = size > 1 ? double(g - 1) / double(size - 1) : 0.0;
      const double fy = double(y) * step, fx = double(x) * step;
      const auto y0 = std::min(g - 1, int64_t(fy)), x0 = std::min(g - 1, int64_t(fx));
      const auto y1 = std::min(g - 1, y0 + 1), x1 = std::min(g - 1, x0 + 1);
      const double wy = fy - double(y0), wx = fx - double(x0);
      out[y * size + x] = (1 - wy) * ((1 - wx) * in[y0 * g + x0] + wx * in[y0 * g + x1]) +
                          wy * ((1 - wx) * in[y1 * g + x0] + wx * in[y1 * g + x1]);
    }
  }
  return out;
}

void fuse_one(const FuseMapParams& p) {
  const int64_t n = p.grid * p.grid;
  Plane mean[2] = {Plane(static_cast<size_t>(p.size * p.size), 0.0),
                   Plane(static_cast<size_t>(p.size * p.size), 0.0)};
  for (int64_t i = 0; i < p.groups; ++i) {
    for (int64_t c = 0; c < 2; ++c) {
      Plane logits(static_cast<size_t>(n), 0.0);
      for (int64_t t = 0; t < n; ++t) {
        for (int64_t j = 0; j < p.groups; ++j) {
          logits[t] += 10.0 * p.gates[(i * p.groups + j) * 2 + c] *
                       p.dots[(i * n + t) * 2 * p.groups + 2 * j + c];
        }
        if (p.logits) p.logits[(i * 2 + c) * n + t] = static_cast<float>(logits[t]);
      }
      const Plane up = upsampled(blurred(logits, p.grid, p.taps, p.sigma), p.grid, p.size);
      for (size_t k = 0; k < up.size(); ++k) mean[c][k] += up[k] / double(p.groups);
    }
  }
  *p.max = 0;
  for (size_t k = 0; k < mean[0].size(); ++k) {
    p.map[k] =
        static_cast<float>(std::exp(mean[1][k]) / (std::exp(mean[0][k]) + std::exp(mean[1][k])));
    *p.max = std::max(*p.max, p.map[k]);
  }
}

}  // namespace

void fuse_map_ref(const FuseMapParams& p) {
  for (int64_t item = 0; item < p.batch; ++item) fuse_one(fuse_map_item(p, item));
}

}  // namespace acd
