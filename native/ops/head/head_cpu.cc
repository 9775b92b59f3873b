#include <algorithm>

#include "backend/cpu/isa.h"
#include "ops/head/head_isa.h"
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
  // Compiled before the region starts.
  std::shared_ptr<const Gemm::Tile> full_rows, last_rows;
  size_t rounded_bytes = 0, scratch_bytes = 0;
  if (w.type == NumberType::kBf16) {
    const auto compiled = [&](int64_t rows) {
      return cpu.gemm().tile({rows, w.n, w.k, w.k, p.width, Activation::kNone, false,
                              w.bias.size() > 0, NumberType::kF32},
                             w);
    };
    full_rows = compiled(kTile);
    last_rows = compiled(last);
    rounded_bytes = rounded_rows_bytes(kTile, w.k);
    scratch_bytes = std::max(full_rows->scratch_bytes, last_rows->scratch_bytes);
  }
  const size_t y_bytes = static_cast<size_t>(kTile * p.width) * sizeof(float);
  cpu.run(p.batch * tiles, [&](int64_t at) {
    const HeadParams item = head_item(p, at / tiles);
    const int64_t tile = at % tiles, first = tile * kTile;
    const bool is_last = tile + 1 == tiles;
    const float* h = item.h + first * p.ldh;
    const int64_t rows = is_last ? last : kTile;
    uint8_t* scratch = cpu.scratch(rounded_bytes + y_bytes + scratch_bytes);
    auto* y = reinterpret_cast<float*>(scratch + rounded_bytes);
    if (full_rows) {
      round_rows_cpu(h, p.ldh, rows, w.k, reinterpret_cast<uint16_t*>(scratch));
      cpu.gemm().run(is_last ? *last_rows : *full_rows, w, scratch, y,
                     scratch + rounded_bytes + y_bytes);
    } else {
      linear_f32_rows(w, h, p.ldh, rows, y, p.width);
    }
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
