#include <algorithm>
#include <cmath>
#include <cstring>

#include "backend/cpu/isa.h"
#include "ops/resize/resize.h"
#include "ops/resize/resize_isa.h"

namespace acd {
namespace {

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

void grow(std::vector<uint8_t>& memory, size_t bytes) {
  if (memory.size() < bytes) memory.resize(bytes);
}

const BicubicAxis& axis_of(int in, int out, ResizeScratch::Axis& kept) {
  if (kept.in != in || kept.out != out) kept = {in, out, bicubic_axis(in, out)};
  return kept.weights;
}

ResizeTaps taps_of(const BicubicAxis& axis) {
  return {axis.first.data(), axis.count.data(), axis.weights.data(), axis.taps,
          static_cast<int>(axis.first.size())};
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

using Lerp = ResizeMapScratch::Lerp;

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
      const double v = weight[t] / total * (1 << kResizeFractionBits);
      fixed[t] = static_cast<int32_t>(v < 0 ? v - 0.5 : v + 0.5);
    }
    axis.first[i] = first;
    axis.count[i] = count;
  }
  return axis;
}

void resize_horizontal_rows(const BicubicAxis& axis, const uint8_t* src, int w, int rows,
                            int channels, uint8_t* dst, std::vector<uint8_t>& block) {
  const auto pass = ACD_PICK_ISA(resize_horizontal_block);
  const ResizeTaps taps = taps_of(axis);
  const size_t wide = static_cast<size_t>(w) * channels;
  const size_t narrow = static_cast<size_t>(taps.out) * channels;
  grow(block, (wide + narrow) * kResizeRows);
  for (int y = 0; y < rows; y += kResizeRows) {
    pass(taps, src + static_cast<size_t>(y) * wide, w, std::min(kResizeRows, rows - y), channels,
         dst + static_cast<size_t>(y) * narrow, block.data());
  }
}

void resize_vertical_rows(const BicubicAxis& axis, const uint8_t* src, int row_bytes, int y0,
                          int y1, uint8_t* dst) {
  const auto row = ACD_PICK_ISA(resize_vertical_row);
  const ResizeTaps taps = taps_of(axis);
  const auto bytes = static_cast<size_t>(row_bytes);
  for (int y = y0; y < y1; ++y) {
    row(src + static_cast<size_t>(taps.first[y]) * bytes, bytes,
        taps.weights + static_cast<size_t>(y) * taps.taps, taps.count[y],
        dst + static_cast<size_t>(y) * bytes);
  }
}

Status resize_bicubic_u8(const uint8_t* src, int w, int h, int channels, uint8_t* dst, int dw,
                         int dh) {
  ResizeScratch scratch;
  return resize_bicubic_u8(src, w, h, channels, dst, dw, dh, scratch);
}

Status resize_bicubic_u8(const uint8_t* src, int w, int h, int channels, uint8_t* dst, int dw,
                         int dh, ResizeScratch& scratch) {
  ACD_RETURN_IF_ERROR(check_extents(w, h, channels, dw, dh));
  const int wide = dw * channels, narrow = w * channels;
  std::vector<uint8_t>& middle = scratch.middle;
  if (dw == w && dh == h) {
    std::memcpy(dst, src, static_cast<size_t>(narrow) * h);
  } else if (dh == h) {
    resize_horizontal_rows(axis_of(w, dw, scratch.across), src, w, h, channels, dst, scratch.block);
  } else if (dw == w) {
    resize_vertical_rows(axis_of(h, dh, scratch.down), src, narrow, 0, dh, dst);
  } else if (resize_is_vertical_first(w, h, dh)) {
    grow(middle, static_cast<size_t>(narrow) * dh);
    resize_vertical_rows(axis_of(h, dh, scratch.down), src, narrow, 0, dh, middle.data());
    resize_horizontal_rows(axis_of(w, dw, scratch.across), middle.data(), w, dh, channels, dst,
                           scratch.block);
  } else {
    grow(middle, static_cast<size_t>(wide) * h);
    resize_horizontal_rows(axis_of(w, dw, scratch.across), src, w, h, channels, middle.data(),
                           scratch.block);
    resize_vertical_rows(axis_of(h, dh, scratch.down), middle.data(), wide, 0, dh, dst);
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

void resize_map_rows_f32(const float* src, int w, int h, float* dst, int dw, int dh, int y0, int y1,
                         ResizeMapScratch& scratch) {
  std::vector<Lerp>& columns = scratch.columns;
  std::vector<float>&upper = scratch.upper, &lower = scratch.lower;
  columns.resize(dw);
  for (int x = 0; x < dw; ++x) columns[x] = bilinear_tap(x, w, dw);
  // Two source rows, stretched along x; the next output rows mostly lie between the same two.
  upper.resize(dw);
  lower.resize(dw);
  int above = -1, below = -1;
  const auto stretch = [&](int from, std::vector<float>& row) {
    const float* in = src + static_cast<size_t>(from) * w;
    for (int x = 0; x < dw; ++x) {
      const Lerp& c = columns[x];
      row[x] = mix(in[c.lo], in[c.hi], c.t);
    }
    return from;
  };
  for (int y = y0; y < y1; ++y) {
    const Lerp v = bilinear_tap(y, h, dh);
    if (v.lo == below) {
      upper.swap(lower);
      std::swap(above, below);
    }
    if (v.lo != above) above = stretch(v.lo, upper);
    if (v.hi != below) below = stretch(v.hi, lower);
    float* out = dst + static_cast<size_t>(y) * dw;
    for (int x = 0; x < dw; ++x) out[x] = mix(upper[x], lower[x], v.t);
  }
}

Status resize_map_f32(const float* src, int w, int h, float* dst, int dw, int dh) {
  ResizeMapScratch scratch;
  return resize_map_f32(src, w, h, dst, dw, dh, scratch);
}

Status resize_map_f32(const float* src, int w, int h, float* dst, int dw, int dh,
                      ResizeMapScratch& scratch) {
  ACD_RETURN_IF_ERROR(check_extents(w, h, 1, dw, dh));
  resize_map_rows_f32(src, w, h, dst, dw, dh, 0, dh, scratch);
  return Status();
}

}  // namespace acd
