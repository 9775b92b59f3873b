#include <array>
#include <vector>

#include "ops/preprocess/preprocess.h"
#include "ops/resize/resize.h"

namespace acd {
namespace {

using Levels = std::array<std::array<float, 256>, 3>;

Levels make_levels() {
  Levels levels;
  for (int c = 0; c < 3; ++c) {
    for (int v = 0; v < 256; ++v) {
      levels[c][v] = (static_cast<float>(v) / 255.0f - kImageMean[c]) / kImageStd[c];
    }
  }
  return levels;
}

}  // namespace

void normalise_rows_rgb8(const uint8_t* rgb, int size, float* dst, int y0, int y1) {
  const Levels levels = make_levels();
  const size_t plane = static_cast<size_t>(size) * size;
  const size_t end = static_cast<size_t>(y1) * size;
  for (size_t i = static_cast<size_t>(y0) * size; i < end; ++i) {
    dst[i] = levels[0][rgb[3 * i]];
    dst[plane + i] = levels[1][rgb[3 * i + 1]];
    dst[2 * plane + i] = levels[2][rgb[3 * i + 2]];
  }
}

Status preprocess_rgb8(const uint8_t* src, int w, int h, int size, float* dst) {
  PreprocessScratch scratch;
  return preprocess_rgb8(src, w, h, size, dst, scratch);
}

Status preprocess_rgb8(const uint8_t* src, int w, int h, int size, float* dst,
                       PreprocessScratch& scratch) {
  if (size < 1 || size > kMaxResizeSide) {
    return Status(Code::kInvalidArg, "Expected a side between 1 and " +
                                         std::to_string(kMaxResizeSide) +
                                         " for preprocess but received " + std::to_string(size));
  }
  scratch.resized.resize(static_cast<size_t>(size) * size * 3);
  ACD_RETURN_IF_ERROR(
      resize_bicubic_u8(src, w, h, 3, scratch.resized.data(), size, size, scratch.resize));
  normalise_rows_rgb8(scratch.resized.data(), size, dst, 0, size);
  return Status();
}

}  // namespace acd
