#include <algorithm>
#include <cmath>
#include <cstring>
#include <vector>

#include "ops/resize_positions/resize_positions.h"

namespace acd {
namespace {

struct Taps {
  int64_t first;
  std::vector<double> weights;
};

double cubic(double x) {
  constexpr double a = -0.5;
  x = std::abs(x);
  if (x < 1) return ((a + 2) * x - (a + 3)) * x * x + 1;
  if (x < 2) return (((x - 5) * x + 8) * x - 4) * a;
  return 0;
}

std::vector<Taps> taps_of(int64_t from, int64_t to) {
  const double scale = static_cast<double>(from) / static_cast<double>(to);
  const double stretch = std::max(scale, 1.0);
  std::vector<Taps> all;
  for (int64_t i = 0; i < to; ++i) {
    const double centre = scale * (static_cast<double>(i) + 0.5);
    const auto first = std::max<int64_t>(0, static_cast<int64_t>(centre - 2 * stretch + 0.5));
    const auto last = std::min<int64_t>(from, static_cast<int64_t>(centre + 2 * stretch + 0.5));
    Taps t{first, {}};
    double total = 0;
    for (int64_t j = first; j < last; ++j) {
      t.weights.push_back(cubic((static_cast<double>(j) - centre + 0.5) / stretch));
      total += t.weights.back();
    }
    for (double& w : t.weights) w /= total;
    all.push_back(std::move(t));
  }
  return all;
}

}  // namespace

void resize_positions(const float* in, int64_t old_grid, float* out, int64_t grid, int64_t width) {
  if (old_grid == grid) {
    std::memcpy(out, in, static_cast<size_t>((1 + grid * grid) * width) * sizeof(float));
    return;
  }
  std::memcpy(out, in, static_cast<size_t>(width) * sizeof(float));
  const std::vector<Taps> taps = taps_of(old_grid, grid);
  // Rows first: [old, grid, width].
  std::vector<double> rows(static_cast<size_t>(old_grid * grid * width), 0.0);
  for (int64_t y = 0; y < old_grid; ++y) {
    for (int64_t x = 0; x < grid; ++x) {
      double* to = rows.data() + (y * grid + x) * width;
      for (size_t k = 0; k < taps[x].weights.size(); ++k) {
        const float* from =
            in + (1 + y * old_grid + taps[x].first + static_cast<int64_t>(k)) * width;
        for (int64_t d = 0; d < width; ++d) to[d] += taps[x].weights[k] * from[d];
      }
    }
  }
  std::vector<double> sum(static_cast<size_t>(width));
  for (int64_t y = 0; y < grid; ++y) {
    for (int64_t x = 0; x < grid; ++x) {
      std::fill(sum.begin(), sum.end(), 0.0);
      for (size_t k = 0; k < taps[y].weights.size(); ++k) {
        const double* from =
            rows.data() + ((taps[y].first + static_cast<int64_t>(k)) * grid + x) * width;
        for (int64_t d = 0; d < width; ++d) sum[d] += taps[y].weights[k] * from[d];
      }
      float* to = out + (1 + y * grid + x) * width;
      for (int64_t d = 0; d < width; ++d) to[d] = static_cast<float>(sum[d]);
    }
  }
}

}  // namespace acd
