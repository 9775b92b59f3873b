// RGB8 picture -> normalised network input.
//
// y[c][i][j] = (r[i][j][c] / 255 - mean[c]) / std[c] in float32, each operation rounded, where r is
// the picture resized to S x S by resize_bicubic_u8 (aspect ratio not kept).
// src u8 [h, w, 3], dst f32 [3, S, S]; sides in 1..kMaxResizeSide (ops/resize), kInvalidArg
// otherwise. mean = (0.48145466, 0.4578275, 0.40821073), std = (0.26862954, 0.26130258,
// 0.27577711): CLIP's. Every value is one of 256 per channel, so the arithmetic is a table.
#pragma once

#include <cstdint>
#include <vector>

#include "core/status.h"
#include "ops/resize/resize.h"

namespace acd {

constexpr float kImageMean[3] = {0.48145466f, 0.4578275f, 0.40821073f};
constexpr float kImageStd[3] = {0.26862954f, 0.26130258f, 0.27577711f};

Status preprocess_rgb8(const uint8_t* src, int w, int h, int size, float* dst);

// The same with memory of an earlier call, for whoever prepares picture after picture.
struct PreprocessScratch {
  ResizeScratch resize;
  std::vector<uint8_t> resized;
  size_t bytes() const { return resize.bytes() + resized.capacity(); }
};
Status preprocess_rgb8(const uint8_t* src, int w, int h, int size, float* dst,
                       PreprocessScratch& scratch);

// Rows y0 <= y < y1 of the normalisation alone: rgb u8 [size, size, 3], dst f32 [3, size, size].
void normalise_rows_rgb8(const uint8_t* rgb, int size, float* dst, int y0, int y1);

// One axis of the resize in device memory: bicubic_axis (ops/resize). `first` is null where the
// axis keeps its length.
struct DeviceAxis {
  const int32_t* first;
  const int32_t* count;
  const int32_t* weights;  // [out, taps]
  int taps;
};

// The same as an operation of a device, into the rows of the patch product (patchify.h): rows f32
// [g * g, 3 * patch * patch], g = size / patch, with the bits of preprocess_rgb8 and patchify.
struct PreprocessParams {
  const uint8_t* pixels;  // [height, width, 3]
  int64_t width;
  int64_t height;
  DeviceAxis across;  // width -> size
  DeviceAxis down;    // height -> size
  int64_t size;
  int64_t patch;
  float* rows;
};

// The meaning in plain loops; linked into tests only.
void preprocess_rgb8_ref(const uint8_t* src, int w, int h, int size, float* dst);

}  // namespace acd
