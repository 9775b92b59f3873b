#include <cmath>
#include <string>

#include "core/half.h"
#include "ops/gather_tokens/gather_tokens.h"

namespace acd {
namespace {

double half_value(uint16_t h) {
  const int e = (h >> 10) & 31, m = h & 1023;
  const double v = e == 0 ? std::ldexp(m, -24) : std::ldexp(1024 + m, e - 25);
  return h & 0x8000 ? -v : v;
}

// Byte by byte and in integers: u * 2^24 is n >> 8, and the one rounding is that of the product.
float seeded_value(uint32_t seed, int64_t i) {
  uint64_t h = 2166136261u;
  for (char c : std::string("token_embedding.weight"))
    h = ((h ^ static_cast<uint64_t>(c)) * 16777619u) & 0xffffffffu;
  uint64_t n = (static_cast<uint64_t>(i) * 0x9e3779b9u + (h ^ seed)) & 0xffffffffu;
  n ^= n >> 16;
  n = n * 0x85ebca6bu & 0xffffffffu;
  n ^= n >> 13;
  n = n * 0xc2b2ae35u & 0xffffffffu;
  n ^= n >> 16;
  const double signed_unit = std::ldexp(static_cast<double>(n >> 8), -23) - 1;
  return static_cast<float>(double{0.2f} * signed_unit);
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
        case TableType::kSeeded:
          v = seeded_value(p.seed, at);
          break;
      }
      p.x[row * p.width + i] = static_cast<float>(v + p.positions[row % p.length * p.width + i]);
    }
  }
}

}  // namespace acd
