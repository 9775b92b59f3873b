#include <algorithm>
#include <cmath>
#include <cstring>

#include "ops/resize/resize.h"

namespace acd {
namespace {

constexpr int kFractionBits = 22;
constexpr int32_t kHalf = 1 << (kFractionBits - 1);

Status check_extents(int w, int h, int channels, int dw, int dh) {
  for (int side : {w, h, dw, dh}) {
    if (side < 1 || side > kMaxResizeSide) {
      return Status(Code::kInvalidArg, "Expected sides between 1 and " +
                                           std::to_string(kMaxResizeSide) +
                                           " for resize but received " + std::to_string(side));
    }
  }
  if (channels < 1 || channels > 4) {
    return Status(Code::kInvalidArg,
                  "Expected 1 to 4 channels for resize but received " + std::to_string(channels));
  }
  return Status();
}

double cubic(double x) {
  constexpr double a = -0.5;
  x = std::fabs(x);
  if (x < 1.0) return ((a + 2.0) * x - (a + 3.0)) * x * x + 1.0;
  if (x < 2.0) return (((x - 5.0) * x + 8.0) * x - 4.0) * a;
  return 0.0;
}

inline uint8_t to_u8(int32_t sum) {
  const int32_t v = sum >> kFractionBits;
  return static_cast<uint8_t>(v < 0 ? 0 : v > 255 ? 255 : v);
}

template <int C>
void horizontal(const BicubicAxis& axis, const uint8_t* src, int w, int rows, uint8_t* dst) {
  const int dw = static_cast<int>(axis.first.size());
  for (int y = 0; y < rows; ++y, src += static_cast<size_t>(w) * C) {
    for (int x = 0; x < dw; ++x, dst += C) {
      const uint8_t* p = src + static_cast<size_t>(axis.first[x]) * C;
      const int32_t* k = axis.weights.data() + static_cast<size_t>(x) * axis.taps;
      int32_t sum[C];
      for (int c = 0; c < C; ++c) sum[c] = kHalf;
      for (int t = 0; t < axis.count[x]; ++t, p += C) {
        for (int c = 0; c < C; ++c) sum[c] += p[c] * k[t];
      }
      for (int c = 0; c < C; ++c) dst[c] = to_u8(sum[c]);
    }
  }
}

// Where Pillow's NEAREST reads: the position grows by repeated addition, whose rounding decides
// ties, so it must not be computed as (i + 0.5) * scale.
std::vector<int32_t> nearest_axis(int in, int out) {
  std::vector<int32_t> from(out);
  const double scale = static_cast<double>(in) / out;
  double position = scale * 0.5;
  for (int i = 0; i < out; ++i, position += scale) {
    from[i] = std::min(static_cast<int32_t>(position), in - 1);
  }
  return from;
}

struct Lerp {
  int lo;
  int hi;
  float t;
};

Lerp bilinear_tap(int i, int in, int out) {
  const double s = std::clamp((i + 0.5) * (static_cast<double>(in) / out) - 0.5, 0.0, in - 1.0);
  const int lo = static_cast<int>(s);
  return {lo, std::min(lo + 1, in - 1), static_cast<float>(s - lo)};
}

// The clamp keeps rounding from leaving the interval of a and b.
inline float mix(float a, float b, float t) {
  const float v = a + (b - a) * t;
  return std::min(std::max(v, std::min(a, b)), std::max(a, b));
}

}  // namespace

BicubicAxis bicubic_axis(int in, int out) {
  const double scale = static_cast<double>(in) / out;
  const double stretch = std::max(scale, 1.0);
  const double support = 2.0 * stretch;
  const double inverse = 1.0 / stretch;
  BicubicAxis axis;
  axis.taps = std::min(static_cast<int>(std::ceil(support)) * 2 + 1, in);
  axis.first.resize(out);
  axis.count.resize(out);
  axis.weights.assign(static_cast<size_t>(out) * axis.taps, 0);
  std::vector<double> weight(axis.taps);
  for (int i = 0; i < out; ++i) {
    const double center = (i + 0.5) * scale;
    const int first = std::max(static_cast<int>(center - support + 0.5), 0);
    const int count = std::min(static_cast<int>(center + support + 0.5), in) - first;
    double total = 0.0;
    for (int t = 0; t < count; ++t) {
      weight[t] = cubic((t + first - center + 0.5) * inverse);
      total += weight[t];
    }
    int32_t* fixed = axis.weights.data() + static_cast<size_t>(i) * axis.taps;
    for (int t = 0; t < count; ++t) {
      const double v = weight[t] / total * (1 << kFractionBits);
      fixed[t] = static_cast<int32_t>(v < 0 ? v - 0.5 : v + 0.5);
    }
    axis.first[i] = first;
    axis.count[i] = count;
  }
  return axis;
}

void resize_horizontal_rows(const BicubicAxis& axis, const uint8_t* src, int w, int rows,
                            int channels, uint8_t* dst) {
  switch (channels) {
    case 1:
      return horizontal<1>(axis, src, w, rows, dst);
    case 2:
      return horizontal<2>(axis, src, w, rows, dst);
    case 3:
      return horizontal<3>(axis, src, w, rows, dst);
    default:
      return horizontal<4>(axis, src, w, rows, dst);
  }
}

void resize_vertical_rows(const BicubicAxis& axis, const uint8_t* src, int row_bytes, int y0,
                          int y1, uint8_t* dst) {
  std::vector<int32_t> sums(row_bytes);
  for (int y = y0; y < y1; ++y) {
    int32_t* sum = sums.data();
    std::fill(sums.begin(), sums.end(), kHalf);
    const uint8_t* row = src + static_cast<size_t>(axis.first[y]) * row_bytes;
    const int32_t* k = axis.weights.data() + static_cast<size_t>(y) * axis.taps;
    for (int t = 0; t < axis.count[y]; ++t, row += row_bytes) {
      const int32_t kt = k[t];
      for (int j = 0; j < row_bytes; ++j) sum[j] += row[j] * kt;
    }
    uint8_t* out = dst + static_cast<size_t>(y) * row_bytes;
    for (int j = 0; j < row_bytes; ++j) out[j] = to_u8(sum[j]);
  }
}

Status resize_bicubic_u8(const uint8_t* src, int w, int h, int channels, uint8_t* dst, int dw,
                         int dh) {
  ACD_RETURN_IF_ERROR(check_extents(w, h, channels, dw, dh));
  const int wide = dw * channels, narrow = w * channels;
  if (dw == w && dh == h) {
    std::memcpy(dst, src, static_cast<size_t>(narrow) * h);
  } else if (dh == h) {
    resize_horizontal_rows(bicubic_axis(w, dw), src, w, h, channels, dst);
  } else if (dw == w) {
    resize_vertical_rows(bicubic_axis(h, dh), src, narrow, 0, dh, dst);
  } else if (resize_is_vertical_first(w, h, dh)) {
    std::vector<uint8_t> middle(static_cast<size_t>(narrow) * dh);
    resize_vertical_rows(bicubic_axis(h, dh), src, narrow, 0, dh, middle.data());
    resize_horizontal_rows(bicubic_axis(w, dw), middle.data(), w, dh, channels, dst);
  } else {
    std::vector<uint8_t> middle(static_cast<size_t>(wide) * h);
    resize_horizontal_rows(bicubic_axis(w, dw), src, w, h, channels, middle.data());
    resize_vertical_rows(bicubic_axis(h, dh), middle.data(), wide, 0, dh, dst);
  }
  return Status();
}

Status resize_nearest_u8(const uint8_t* src, int w, int h, int channels, uint8_t* dst, int dw,
                         int dh) {
  ACD_RETURN_IF_ERROR(check_extents(w, h, channels, dw, dh));
  const std::vector<int32_t> xs = nearest_axis(w, dw);
  const std::vector<int32_t> ys = nearest_axis(h, dh);
  for (int y = 0; y < dh; ++y) {
    const uint8_t* row = src + static_cast<size_t>(ys[y]) * w * channels;
    for (int x = 0; x < dw; ++x, dst += channels) {
      std::memcpy(dst, row + static_cast<size_t>(xs[x]) * channels, channels);
    }
  }
  return Status();
}

void resize_map_rows_f32(const float* src, int w, int h, float* dst, int dw, int dh, int y0,
                         int y1) {
  std::vector<Lerp> columns(dw);
  for (int x = 0; x < dw; ++x) columns[x] = bilinear_tap(x, w, dw);
  for (int y = y0; y < y1; ++y) {
    const Lerp v = bilinear_tap(y, h, dh);
    const float* upper = src + static_cast<size_t>(v.lo) * w;
    const float* lower = src + static_cast<size_t>(v.hi) * w;
    float* out = dst + static_cast<size_t>(y) * dw;
    for (int x = 0; x < dw; ++x) {
      const Lerp& c = columns[x];
      out[x] = mix(mix(upper[c.lo], upper[c.hi], c.t), mix(lower[c.lo], lower[c.hi], c.t), v.t);
    }
  }
}

Status resize_map_f32(const float* src, int w, int h, float* dst, int dw, int dh) {
  ACD_RETURN_IF_ERROR(check_extents(w, h, 1, dw, dh));
  resize_map_rows_f32(src, w, h, dst, dw, dh, 0, dh);
  return Status();
}

}  // namespace acd
