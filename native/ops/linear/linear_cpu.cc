// Tiles of at most 288 rows x 256 columns, each one oneDNN matmul on one thread; tiles of one
// column chunk follow each other so that its weights stay in the shared cache.
#include <array>

#include "backend/cpu/cpu_context.h"

namespace acd {

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
      kinds[last_row][last_chunk] = cpu.gemm().tile(
          {height, chunk.n, w.k, p.ldx, p.ldy, p.act, p.accumulate, w.bias.size() > 0}, chunk);
    }
  }
  cpu.run(chunks * p.batch * rows.count, [&](int64_t index) {
    const int64_t row = index % rows.count;
    const int64_t item = index / rows.count % p.batch;
    const int64_t column = index / rows.count / p.batch;
    const auto& chunk = w.chunks[static_cast<size_t>(column)];
    const Gemm::Tile& tile = *kinds[row + 1 == rows.count][column + 1 == chunks];
    cpu.gemm().run(tile, w, chunk, p.x + item * p.batch_x + rows.begin(row) * p.ldx,
                   p.y + item * p.batch_y + rows.begin(row) * p.ldy + chunk.n0,
                   cpu.scratch(tile.scratch_bytes));
  });
}

}  // namespace acd
