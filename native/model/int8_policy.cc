#include "model/int8_policy.h"

#include <algorithm>
#include <cmath>
#include <vector>

namespace acd {
namespace {

// A normalised value is rarely beyond three deviations.
constexpr float kReach = 3.0f;
// Beyond it a channel would vanish among the others.
constexpr int kLargestShift = 12;
// Between the starter's width of 256, whose maps fp8 in all products moved too far, and the widths
// of CLIP; the border itself is not measured.
constexpr int64_t kNarrowestFp8 = 512;

int shift_of(float activation, float weight) {
  if (!(activation > 0) || !(weight > 0)) return 0;
  const double half = 0.5 * (std::log2(double{activation}) - std::log2(double{weight}));
  return static_cast<int>(std::lround(half));
}

}  // namespace

BlockTypes all_of(NumberType type) { return {type, type, type, type}; }

BlockTypes vision_block_types(Precision precision, NumberType tower_type, int64_t width) {
  if (precision == Precision::kFp8) {
    constexpr NumberType fp8 = NumberType::kE4m3;
    if (width < kNarrowestFp8) return {tower_type, tower_type, tower_type, fp8};
    return all_of(fp8);
  }
  return all_of(precision == Precision::kInt8 ? NumberType::kInt8 : tower_type);
}

void equalise_channels(float* gain, float* bias, float* weight, int64_t n, int64_t width) {
  std::vector<float> largest(static_cast<size_t>(width), 0.0f);
  for (int64_t i = 0; i < n; ++i) {
    const float* row = weight + i * width;
    for (int64_t j = 0; j < width; ++j)
      largest[static_cast<size_t>(j)] =
          std::max(largest[static_cast<size_t>(j)], std::fabs(row[j]));
  }
  std::vector<int> shifts;
  for (int64_t j = 0; j < width; ++j) {
    const float reach = kReach * std::fabs(gain[j]) + std::fabs(bias[j]);
    shifts.push_back(shift_of(reach, largest[static_cast<size_t>(j)]));
  }
  // Only differences count: the middle channel stays as it is.
  std::vector<int> sorted = shifts;
  std::nth_element(sorted.begin(), sorted.begin() + width / 2, sorted.end());
  const int middle = sorted[static_cast<size_t>(width / 2)];
  std::vector<float> scale;
  for (int64_t j = 0; j < width; ++j) {
    const int shift = std::clamp(shifts[static_cast<size_t>(j)] - middle, 0, kLargestShift);
    scale.push_back(std::ldexp(1.0f, shift));
    gain[j] = std::ldexp(gain[j], -shift);
    bias[j] = std::ldexp(bias[j], -shift);
  }
  for (int64_t i = 0; i < n; ++i) {
    float* row = weight + i * width;
    for (int64_t j = 0; j < width; ++j) row[j] *= scale[static_cast<size_t>(j)];
  }
}

}  // namespace acd
