#include <algorithm>

#include "backend/cpu/cpu_context.h"
#include "backend/cpu/isa.h"
#include "ops/head/head_isa.h"

namespace acd {

void head_cpu(CpuContext& cpu, const HeadParams& p) {
  constexpr int64_t kTile = 128;
  const PackedLinear& w = *p.weights;
  const auto kernel = ACD_PICK_ISA(head_rows);
  const int64_t tiles = (p.tokens + kTile - 1) / kTile;
  float* sums = CpuContext::shared_scratch(p.batch * tiles * p.width);
  std::fill_n(sums, p.batch * tiles * p.width, 0.0f);
  // Compiled before the region starts; [full or last tile][full or last chunk].
  const auto compiled = [&](int64_t rows, const PackedLinear::Chunk& chunk) {
    return cpu.gemm().tile(
        {rows, chunk.n, w.k, p.ldh, p.width, Activation::kNone, false, w.bias.size() > 0}, chunk);
  };
  const int64_t last = p.tokens - (tiles - 1) * kTile;
  const std::shared_ptr<const Gemm::Tile> kinds[2][2] = {
      {compiled(kTile, w.chunks.front()), compiled(kTile, w.chunks.back())},
      {compiled(last, w.chunks.front()), compiled(last, w.chunks.back())}};
  const size_t y_bytes = static_cast<size_t>(kTile * p.width) * sizeof(float);
  cpu.run(p.batch * tiles, [&](int64_t at) {
    const HeadParams item = head_item(p, at / tiles);
    const int64_t tile = at % tiles, first = tile * kTile;
    const bool is_last = tile + 1 == tiles;
    size_t scratch_bytes = 0;
    for (const auto& kind : kinds[is_last])
      scratch_bytes = std::max(scratch_bytes, kind->scratch_bytes);
    uint8_t* scratch = cpu.scratch(y_bytes + scratch_bytes);
    auto* y = reinterpret_cast<float*>(scratch);
    for (const PackedLinear::Chunk& chunk : w.chunks) {
      cpu.gemm().run(*kinds[is_last][&chunk == &w.chunks.back()], w, chunk, item.h + first * p.ldh,
                     y + chunk.n0, scratch + y_bytes);
    }
    kernel(item, y, first, is_last ? last : kTile, sums + at * p.width);
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
