#include <algorithm>
#include <optional>

#include "backend/cpu/isa.h"
#include "ops/head/head_isa.h"
#include "ops/linear/linear_bf16_cpu.h"
#include "ops/linear/linear_f32_cpu.h"

namespace acd {

void head_cpu(CpuContext& cpu, const HeadParams& p) {
  constexpr int64_t kTile = 128;
  const PackedLinear& w = *p.weights;
  const auto kernel = ACD_PICK_ISA(head_rows);
  const int64_t tiles = (p.tokens + kTile - 1) / kTile;
  float* sums = CpuContext::shared_scratch(p.batch * tiles * p.width);
  std::fill_n(sums, p.batch * tiles * p.width, 0.0f);
  const int64_t last = p.tokens - (tiles - 1) * kTile;
  std::optional<Bf16Rows> product;
  if (w.type == NumberType::kBf16) {
    LinearParams rows{nullptr, p.ldh, p.weights, nullptr, p.width, 0};
    rows.round_x = true;
    product.emplace(cpu, rows, kTile, last);
  }
  const size_t y_bytes = static_cast<size_t>(kTile * p.width) * sizeof(float);
  static_assert(kTile * sizeof(float) % 64 == 0, "what follows y is aligned");
  cpu.run(p.batch * tiles, [&](int64_t at) {
    const HeadParams item = head_item(p, at / tiles);
    const int64_t tile = at % tiles, first = tile * kTile;
    const float* h = item.h + first * p.ldh;
    const int64_t rows = tile + 1 == tiles ? last : kTile;
    uint8_t* scratch = cpu.scratch(y_bytes + (product ? product->scratch_bytes() : 0));
    auto* y = reinterpret_cast<float*>(scratch);
    if (product)
      (*product)(h, rows, y, scratch + y_bytes);
    else
      linear_f32_rows(w, h, p.ldh, rows, y, p.width);
    kernel(item, y, first, rows, sums + at * p.width);
  });
  for (int64_t i = 0; i < p.batch * p.width; ++i) {
    const int64_t item = i / p.width, column = i % p.width;
    const float* from = sums + item * tiles * p.width + column;
    double sum = 0;
    for (int64_t t = 0; t < tiles; ++t) sum += from[t * p.width];
    p.mean[item * p.batch_mean + column] = static_cast<float>(sum / static_cast<double>(p.tokens));
  }
}

}  // namespace acd
