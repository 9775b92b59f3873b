// Tiles of at most 288 rows x 256 columns, each one oneDNN matmul on one thread; tiles of one
// column chunk follow each other so that its weights stay in the shared cache.
#include <array>

#include "backend/cpu/cpu_context.h"

namespace acd {

PackedLinear pack_linear_cpu(CpuContext& cpu, const LinearWeights& w) {
  PackedLinear packed = cpu.gemm().layout(w);
  cpu.run(static_cast<int64_t>(packed.chunks.size()),
          [&](int64_t i) { cpu.gemm().pack_chunk(w, packed.chunks[static_cast<size_t>(i)]); });
  return packed;
}

void linear_cpu(CpuContext& cpu, const LinearParams& p) {
  const PackedLinear& w = *p.weights;
  const RowTiles rows(p.rows);
  const auto chunks = static_cast<int64_t>(w.chunks.size());
  if (rows.count == 0) return;
  // At most four kinds of tile: full or last rows times full or last columns.
  std::array<std::array<std::shared_ptr<const Gemm::Tile>, 2>, 2> kinds;
  for (int last_row = 0; last_row < 2; ++last_row) {
    for (int last_chunk = 0; last_chunk < 2; ++last_chunk) {
      const auto& chunk = w.chunks[last_chunk ? static_cast<size_t>(chunks - 1) : 0];
      const int64_t height = last_row ? rows.size(rows.count - 1) : rows.height;
      kinds[last_row][last_chunk] =
          cpu.gemm().tile({height, chunk.n, w.k, p.ldx, p.ldy, p.act, p.accumulate,
                           w.bias.size() > 0, w.type, p.y_type},
                          chunk);
    }
  }
  const auto* x = static_cast<const uint8_t*>(p.x);
  auto* y = static_cast<uint8_t*>(p.y);
  const auto x_bytes = static_cast<int64_t>(bytes_of(w.type));
  const auto y_bytes = static_cast<int64_t>(bytes_of(p.y_type));
  cpu.run(chunks * p.batch * rows.count, [&](int64_t index) {
    const int64_t row = index % rows.count;
    const int64_t item = index / rows.count % p.batch;
    const int64_t column = index / rows.count / p.batch;
    const auto& chunk = w.chunks[static_cast<size_t>(column)];
    const Gemm::Tile& tile = *kinds[row + 1 == rows.count][column + 1 == chunks];
    cpu.gemm().run(tile, w, chunk, x + (item * p.batch_x + rows.begin(row) * p.ldx) * x_bytes,
                   y + (item * p.batch_y + rows.begin(row) * p.ldy + chunk.n0) * y_bytes,
                   cpu.scratch(tile.scratch_bytes));
  });
}

}  // namespace acd
