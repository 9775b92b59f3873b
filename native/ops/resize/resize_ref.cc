// The definition pixel by pixel: weights recomputed for each output, 64-bit sums, no
// intermediate picture.
#include <algorithm>
#include <cmath>

#include "ops/resize/resize.h"

namespace acd {
namespace {

// One output of one axis; read(j) is input j. `in` == `out` reads input i itself.
template <typename Read>
int bicubic_at(int i, int in, int out, Read read) {
  if (in == out) return read(i);
  const double scale = static_cast<double>(in) / out;
  const double stretch = scale < 1.0 ? 1.0 : scale;
  const double center = (i + 0.5) * scale;
  const int lo = std::max(0, static_cast<int>(center - 2.0 * stretch + 0.5));
  const int hi = std::min(in, static_cast<int>(center + 2.0 * stretch + 0.5));
  std::vector<double> k;
  double total = 0;
  for (int j = lo; j < hi; ++j) {
    const double x = std::fabs((j - center + 0.5) * (1.0 / stretch));
    const double near = (1.5 * x - 2.5) * x * x + 1.0;
    const double far = (((x - 5.0) * x + 8.0) * x - 4.0) * -0.5;
    k.push_back(x < 1.0 ? near : x < 2.0 ? far : 0.0);
    total += k.back();
  }
  int64_t sum = 0;
  for (int j = lo; j < hi; ++j) {
    const int64_t fixed = std::llround(k[j - lo] / total * 4194304.0);
    sum += fixed * read(j);
  }
  const double value = std::floor((static_cast<double>(sum) + 2097152.0) / 4194304.0);
  return static_cast<int>(std::clamp(value, 0.0, 255.0));
}

int nearest_at(int i, int in, int out) {
  const double scale = static_cast<double>(in) / out;
  double position = scale * 0.5;
  for (int k = 0; k < i; ++k) position += scale;
  return std::min(static_cast<int>(position), in - 1);
}

double position_at(int i, int in, int out) {
  return std::clamp((i + 0.5) * in / out - 0.5, 0.0, static_cast<double>(in - 1));
}

}  // namespace

void resize_bicubic_u8_ref(const uint8_t* src, int w, int h, int channels, uint8_t* dst, int dw,
                           int dh) {
  const bool strip = h > 100 * w && dh < h;
  for (int y = 0; y < dh; ++y) {
    for (int x = 0; x < dw; ++x) {
      for (int c = 0; c < channels; ++c) {
        auto pixel = [&](int row, int col) {
          return static_cast<int>(src[(static_cast<size_t>(row) * w + col) * channels + c]);
        };
        auto across = [&](int row) {
          return bicubic_at(x, w, dw, [&](int col) { return pixel(row, col); });
        };
        auto down = [&](int col) {
          return bicubic_at(y, h, dh, [&](int row) { return pixel(row, col); });
        };
        const int value = strip ? bicubic_at(x, w, dw, down) : bicubic_at(y, h, dh, across);
        dst[(static_cast<size_t>(y) * dw + x) * channels + c] = static_cast<uint8_t>(value);
      }
    }
  }
}

void resize_nearest_u8_ref(const uint8_t* src, int w, int h, int channels, uint8_t* dst, int dw,
                           int dh) {
  for (int y = 0; y < dh; ++y) {
    for (int x = 0; x < dw; ++x) {
      const size_t from = static_cast<size_t>(nearest_at(y, h, dh)) * w + nearest_at(x, w, dw);
      for (int c = 0; c < channels; ++c) {
        dst[(static_cast<size_t>(y) * dw + x) * channels + c] = src[from * channels + c];
      }
    }
  }
}

void resize_map_f32_ref(const float* src, int w, int h, float* dst, int dw, int dh) {
  for (int y = 0; y < dh; ++y) {
    for (int x = 0; x < dw; ++x) {
      const double sy = position_at(y, h, dh);
      const double sx = position_at(x, w, dw);
      double value = 0;
      // A pixel's share is 1 - distance along each axis, where that is positive.
      for (int j = static_cast<int>(sy); j <= std::min(static_cast<int>(sy) + 1, h - 1); ++j) {
        for (int i = static_cast<int>(sx); i <= std::min(static_cast<int>(sx) + 1, w - 1); ++i) {
          value += (1 - std::fabs(sy - j)) * (1 - std::fabs(sx - i)) *
                   src[static_cast<size_t>(j) * w + i];
        }
      }
      dst[static_cast<size_t>(y) * dw + x] = static_cast<float>(value);
    }
  }
}

}  // namespace acd
