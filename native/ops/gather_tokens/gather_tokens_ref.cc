#include <cmath>

#include "core/half.h"
#include "ops/gather_tokens/gather_tokens.h"

namespace acd {
namespace {

double half_value(uint16_t h) {
  const int e = (h >> 10) & 31, m = h & 1023;
  const double v = e == 0 ? std::ldexp(m, -24) : std::ldexp(1024 + m, e - 25);
  return h & 0x8000 ? -v : v;
}

}  // namespace

void gather_tokens_ref(const GatherTokensParams& p) {
  for (int64_t row = 0; row < p.sequences * p.length; ++row) {
    for (int64_t i = 0; i < p.width; ++i) {
      const int64_t at = p.ids[row] * p.width + i;
      double v = 0;
      switch (p.type) {
        case TableType::kF32:
          v = static_cast<const float*>(p.table)[at];
          break;
        case TableType::kF16:
          v = half_value(static_cast<const uint16_t*>(p.table)[at]);
          break;
        case TableType::kBf16:
          v = float_of_bf16(static_cast<const uint16_t*>(p.table)[at]);
          break;
      }
      p.x[row * p.width + i] = static_cast<float>(v + p.positions[row % p.length * p.width + i]);
    }
  }
}

}  // namespace acd
