// The definition in one sum per output: every input cell, weighted by the kernel along both axes.
#include <algorithm>
#include <cmath>

#include "ops/resize_positions/resize_positions.h"

namespace acd {
namespace {

// Keys' cubic with a = -0.5.
double keys(double x) {
  x = std::fabs(x);
  if (x >= 2) return 0;
  return x < 1 ? 1.5 * x * x * x - 2.5 * x * x + 1 : -0.5 * x * x * x + 2.5 * x * x - 4 * x + 2;
}

// Share of input cell j in output cell i along one axis, not yet normalised.
double share(int64_t j, int64_t i, int64_t old_grid, int64_t grid) {
  const double scale = static_cast<double>(old_grid) / static_cast<double>(grid);
  const double distance = static_cast<double>(j) + 0.5 - scale * (static_cast<double>(i) + 0.5);
  return keys(distance / std::max(1.0, scale));
}

}  // namespace

void resize_positions_ref(const float* in, int64_t old_grid, float* out, int64_t grid,
                          int64_t width) {
  std::copy(in, in + width, out);
  for (int64_t i = 0; i < grid * grid; ++i) {
    for (int64_t d = 0; d < width; ++d) {
      double sum = 0, total = 0;
      for (int64_t j = 0; j < old_grid * old_grid; ++j) {
        const double w = share(j / old_grid, i / grid, old_grid, grid) *
                         share(j % old_grid, i % grid, old_grid, grid);
        sum += w * in[(1 + j) * width + d];
        total += w;
      }
      out[(1 + i) * width + d] = static_cast<float>(sum / total);
    }
  }
}

}  // namespace acd
