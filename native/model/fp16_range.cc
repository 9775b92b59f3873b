#include "model/fp16_range.h"

#include <algorithm>
#include <cmath>
#include <cstdio>

namespace acd {
namespace {

// 1 % below the largest number of fp16.
constexpr double kLargest = 64800;

Status too_large(const std::string& name, const char* what, double value) {
  char text[64];
  std::snprintf(text, sizeof text, "%.3g", value);
  return Status(Code::kUnsupported, "Precision fp16 cannot hold this checkpoint: " + name + " " +
                                        what + " " + text + ", fp16 ends at 65504; use bf16");
}

}  // namespace

Status check_fp16_weights(const std::string& name, const float* weight, int64_t n, int64_t k) {
  double largest = 0;
  for (int64_t i = 0; i < n * k; ++i) largest = std::max(largest, std::fabs(double{weight[i]}));
  return largest > kLargest ? too_large(name, "has weights up to", largest) : Status();
}

Status check_fp16_range(const std::string& name, const float* gain, const float* shift,
                        const float* weight, const float* bias, int64_t n, int64_t k) {
  ACD_RETURN_IF_ERROR(check_fp16_weights(name, weight, n, k));
  const double root = std::sqrt(static_cast<double>(k));
  double reach = 0;
  for (int64_t j = 0; j < k; ++j)
    reach = std::max(reach, root * std::fabs(gain[j]) + std::fabs(shift[j]));
  if (reach > kLargest) return too_large(name, "can be given values up to", reach);
  for (int64_t i = 0; i < n; ++i) {
    const float* row = weight + i * k;
    double square = 0, middle = bias[i];
    for (int64_t j = 0; j < k; ++j) {
      const double scaled = double{row[j]} * gain[j];
      square += scaled * scaled;
      middle += double{row[j]} * shift[j];
    }
    reach = std::max(reach, root * std::sqrt(square) + std::fabs(middle));
  }
  return reach > kLargest ? too_large(name, "can give values up to", reach) : Status();
}

}  // namespace acd
