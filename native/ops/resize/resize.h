// Resizing of pictures (u8, exactly as Pillow does it) and of maps (f32, bilinear).
//
// resize_bicubic_u8: [h, w, channels] u8 -> [dh, dw, channels] u8, Pillow's Image.resize(BICUBIC).
//   Along an axis of `in` pixels that becomes `out`: scale = in / out, stretch = max(scale, 1),
//   output i lies at c = (i + 0.5) * scale and reads the pixels j of
//   [trunc(c - 2 stretch + 0.5), trunc(c + 2 stretch + 0.5)) that exist, with weights
//   k((j + 0.5 - c) / stretch) over their sum; k is Keys' cubic with a = -0.5:
//     k(x) = 1.5|x|^3 - 2.5|x|^2 + 1 for |x| < 1,  -0.5(|x|^3 - 5|x|^2 + 8|x| - 4) for |x| < 2.
//   Weights are rounded to 22 fractional bits (half away from zero), sums are integers, and each
//   pass rounds to u8 (half up, clamped). Horizontal pass first, except where
//   resize_is_vertical_first; an axis that keeps its size has no pass. Channels are independent:
//   alpha is not premultiplied, unlike in Pillow's RGBA.
// resize_nearest_u8: the same shapes, Pillow's NEAREST: output i reads trunc((i + 0.5) * scale),
//   where the position is summed up step by step, as Pillow does; that decides ties.
// resize_map_f32: [h, w] f32 -> [dh, dw] f32, bilinear: output i reads s = (i + 0.5) * in / out -
// 0.5
//   clamped to [0, in - 1]; rows first interpolated along x, then along y. No antialiasing (this is
//   torch's interpolate(align_corners=False)). Never leaves [min(src), max(src)].
//
// Sources: Keys 1981; the fixed-point rules are Pillow's observable behaviour
// (goldens/resize.json). All: extents in 1..kMaxResizeSide, 1 to 4 channels, dst must not overlap
// src; kInvalidArg otherwise. No threads: a caller splits rows through the *_rows functions (rows
// of a pass are independent).
#pragma once

#include <cstdint>
#include <vector>

#include "core/status.h"

namespace acd {

constexpr int kMaxResizeSide = 1 << 20;

Status resize_bicubic_u8(const uint8_t* src, int w, int h, int channels, uint8_t* dst, int dw,
                         int dh);
Status resize_nearest_u8(const uint8_t* src, int w, int h, int channels, uint8_t* dst, int dw,
                         int dh);
Status resize_map_f32(const float* src, int w, int h, float* dst, int dw, int dh);

// The same with memory and weights of an earlier call, for whoever resizes picture after picture.
struct ResizeScratch;
Status resize_bicubic_u8(const uint8_t* src, int w, int h, int channels, uint8_t* dst, int dw,
                         int dh, ResizeScratch& scratch);

// Where resize_map_f32 reads between, and two rows stretched along x; to be used again.
struct ResizeMapScratch {
  struct Lerp {
    int lo = 0;
    int hi = 0;
    float t = 0;
  };
  std::vector<Lerp> columns;
  std::vector<float> upper, lower;
};
Status resize_map_f32(const float* src, int w, int h, float* dst, int dw, int dh,
                      ResizeMapScratch& scratch);

// The weights of one bicubic axis: output i is the sum over t < count[i] of
// weights[i * taps + t] * input[first[i] + t], 22 fractional bits.
struct BicubicAxis {
  int taps = 0;
  std::vector<int32_t> first;
  std::vector<int32_t> count;
  std::vector<int32_t> weights;
};
BicubicAxis bicubic_axis(int in, int out);

struct ResizeScratch {
  struct Axis {
    int in = 0, out = 0;
    BicubicAxis weights;
  };
  Axis across, down;
  std::vector<uint8_t> middle;  // between the passes
  std::vector<uint8_t> block;   // of resize_horizontal_rows
  size_t bytes() const { return middle.capacity() + block.capacity(); }
};

// Pillow's exception for strips: more than 100 times as tall as wide, and becoming shorter.
inline bool resize_is_vertical_first(int w, int h, int dh) { return h > 100LL * w && dh < h; }

// Horizontal pass of `rows` rows: src [rows, w, channels] -> dst [rows, dw, channels]. `block` is
// memory to work in.
void resize_horizontal_rows(const BicubicAxis& axis, const uint8_t* src, int w, int rows,
                            int channels, uint8_t* dst, std::vector<uint8_t>& block);
// Output rows y0 <= y < y1 of the vertical pass; src [h, row_bytes], dst [dh, row_bytes].
void resize_vertical_rows(const BicubicAxis& axis, const uint8_t* src, int row_bytes, int y0,
                          int y1, uint8_t* dst);
// Output rows y0 <= y < y1 of resize_map_f32 (dst is the whole output).
void resize_map_rows_f32(const float* src, int w, int h, float* dst, int dw, int dh, int y0, int y1,
                         ResizeMapScratch& scratch);

// The meaning of the three in plain loops; linked into tests only.
void resize_bicubic_u8_ref(const uint8_t* src, int w, int h, int channels, uint8_t* dst, int dw,
                           int dh);
void resize_nearest_u8_ref(const uint8_t* src, int w, int h, int channels, uint8_t* dst, int dw,
                           int dh);
void resize_map_f32_ref(const float* src, int w, int h, float* dst, int dw, int dh);

}  // namespace acd
