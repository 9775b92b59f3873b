#include "backend/cpu/cpu_context.h"
#include "core/half.h"

namespace acd {
namespace {

constexpr uint32_t fnv1a32(const char* text) {
  uint32_t h = 0x811c9dc5u;
  for (; *text != 0; ++text) h = (h ^ static_cast<uint8_t>(*text)) * 0x01000193u;
  return h;
}

constexpr uint32_t kTableName = fnv1a32("token_embedding.weight");

uint32_t fmix32(uint32_t n) {
  n = (n ^ (n >> 16)) * 0x85ebca6bu;
  n = (n ^ (n >> 13)) * 0xc2b2ae35u;
  return n ^ (n >> 16);
}

float seeded_element(uint32_t seed, int64_t i) {
  const uint32_t n = fmix32(static_cast<uint32_t>(i) * 0x9e3779b9u + (kTableName ^ seed));
  const float u = static_cast<float>(n >> 8) * 0x1p-24f;
  return 0.2f * (2.0f * u - 1.0f);
}

float element(const GatherTokensParams& p, int64_t i) {
  switch (p.type) {
    case TableType::kF32:
      return static_cast<const float*>(p.table)[i];
    case TableType::kF16:
      return float_of_f16(static_cast<const uint16_t*>(p.table)[i]);
    case TableType::kBf16:
      return float_of_bf16(static_cast<const uint16_t*>(p.table)[i]);
    default:
      return seeded_element(p.seed, i);
  }
}

}  // namespace

void gather_tokens_cpu(CpuContext& cpu, const GatherTokensParams& p) {
  cpu.run_rows(p.sequences * p.length, p.width * 8, [&](int64_t begin, int64_t end) {
    for (int64_t row = begin; row < end; ++row) {
      const int64_t first = int64_t{p.ids[row]} * p.width;
      const float* position = p.positions + row % p.length * p.width;
      float* x = p.x + row * p.width;
      for (int64_t i = 0; i < p.width; ++i) x[i] = element(p, first + i) + position[i];
    }
  });
}

}  // namespace acd
