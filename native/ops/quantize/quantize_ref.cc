#include <algorithm>
#include <cmath>
#include <limits>
#include <vector>

#include "core/half.h"
#include "ops/quantize/quantize.h"

namespace acd {
namespace {

void quantize_e4m3_ref(const QuantizeParams& p) {
  std::vector<float> row(static_cast<size_t>(p.width));
  for (int64_t r = 0; r < p.rows; ++r) {
    float largest = 0;
    for (int64_t i = 0; i < p.width; ++i) {
      const auto v = static_cast<float>(activated(p.act, number_at(p.x, p.x_type, r * p.ldx + i)));
      row[static_cast<size_t>(i)] = v;
      largest = std::fmax(largest, std::fabs(v));
    }
    const E4m3Row scale = e4m3_row(largest);
    for (int64_t i = 0; i < p.width; ++i)
      p.y[r * p.ldy + i] = e4m3_of_float(row[static_cast<size_t>(i)] * scale.inverse);
    p.y_scales[r] = scale.scale;
  }
}

}  // namespace

void quantize_ref(const QuantizeParams& p) {
  if (p.y_type == NumberType::kE4m3) return quantize_e4m3_ref(p);
  constexpr float kNan = std::numeric_limits<float>::quiet_NaN();
  for (int64_t r = 0; r < p.rows; ++r) {
    const auto value = [&](int64_t i) {
      const int64_t at = r * p.ldx + i;
      return p.x_type == NumberType::kF32 ? static_cast<const float*>(p.x)[at]
                                          : float_of_bf16(static_cast<const uint16_t*>(p.x)[at]);
    };
    bool finite = true;
    float low = value(0), high = value(0);
    for (int64_t i = 0; i < p.width; ++i) {
      finite = finite && std::isfinite(value(i));
      low = std::min(low, value(i));
      high = std::max(high, value(i));
    }
    finite = finite && std::isfinite(high - low);
    const double scale = (double{high} - low) / 255;
    for (int64_t i = 0; i < p.width; ++i) {
      const double code =
          finite && scale > 0 ? std::nearbyint((double{value(i)} - low) / scale) : 0;
      p.y[r * p.ldy + i] = static_cast<uint8_t>(code);
    }
    p.scales[r] = finite ? RowScale{static_cast<float>(scale), low} : RowScale{kNan, kNan};
  }
}

}  // namespace acd
