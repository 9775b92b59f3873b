#include "ops/linear/linear_f32_cpu.h"

#include "backend/cpu/isa.h"
#include "ops/linear/linear_f32_isa.h"
#include "ops/linear/linear_strassen_isa.h"

namespace acd {
namespace {

// A tile's rows (144 x 1024 of k) and one panel of weights fit a second-level cache of 1 MB. Whole
// panels and whole blocks of rows of every level.
constexpr int64_t kTileRows = kStrassenRows, kTileColumns = kStrassenColumns, kRowStep = 16;

// Where Strassen's way is at least as quick, and the rows are those of one picture rather than of
// one sentence: they meet in its sums. It saves 4 to 6 % of the time at 577 and 1,370 rows, from k
// = 512 on, and none at 300.
constexpr int64_t kLeastRows = 256, kLeastDepth = 512;

int64_t round_up(int64_t n, int64_t to) { return (n + to - 1) / to * to; }

F32Tile tile_of(const PackedLinear& w, int64_t n0, int64_t n) {
  F32Tile tile{};
  tile.k = w.k;
  tile.weights = reinterpret_cast<const float*>(w.weights.data()) + n0 * w.k;
  tile.bias = w.bias.data() + n0;
  tile.n = n;
  return tile;
}

// Columns [n0, n0 + panel) of W, as rows of k.
void pack_panel(const LinearWeights& w, int64_t n0, const F32Layout& layout, float* to) {
  const int64_t columns = std::min(layout.panel, w.n - n0);
  const int64_t width = round_up(columns, layout.lanes);
  // A line of the source at a time.
  constexpr int64_t kStep = 16;
  for (int64_t k = 0; k < w.k; k += kStep) {
    const int64_t end = std::min(w.k, k + kStep);
    for (int64_t c = 0; c < columns; ++c) {
      const float* from = w.weight + (n0 + c) * w.k;
      for (int64_t i = k; i < end; ++i) to[i * width + c] = from[i];
    }
    for (int64_t i = k; i < end; ++i)
      std::fill(to + i * width + columns, to + (i + 1) * width, 0.0f);
  }
}

F32Tile part_of(F32Tile tile, int64_t row, int64_t rows, int64_t column, int64_t columns) {
  tile.x += row * tile.ldx;
  tile.rows = rows;
  tile.weights += column * tile.k;
  tile.bias += column;
  tile.n = columns;
  tile.y += row * tile.ldy + column;
  return tile;
}

// What Strassen's way takes of a tile, and the plain way for the rest.
void run_strassen(const F32Tile& t, const StrassenShape& shape) {
  const auto plain = ACD_PICK_ISA(linear_f32_tile);
  const int64_t rows = t.rows / shape.rows * shape.rows;
  const int64_t columns = t.n / shape.columns * shape.columns;
  if (rows > 0 && columns > 0) {
    const auto bytes = static_cast<size_t>(shape.scratch) * sizeof(float);
    ACD_PICK_ISA(strassen_tile)
    (part_of(t, 0, rows, 0, columns), reinterpret_cast<float*>(CpuContext::scratch(bytes)));
  }
  if (columns < t.n) plain(part_of(t, 0, rows, columns, t.n - columns));
  if (rows < t.rows) plain(part_of(t, rows, t.rows - rows, 0, t.n));
}

}  // namespace

PackedLinear pack_f32(CpuContext& cpu, const LinearWeights& w) {
  const F32Layout layout = ACD_PICK_ISA(f32_layout)();
  const int64_t width = round_up(w.n, layout.lanes);
  PackedLinear packed;
  packed.n = w.n;
  packed.k = w.k;
  packed.type = w.type;
  packed.weights = AlignedBytes(static_cast<size_t>(width * w.k) * sizeof(float));
  packed.bias = FloatBuffer(static_cast<size_t>(width));
  std::fill_n(packed.bias.data(), width, 0.0f);
  if (w.bias) std::copy(w.bias, w.bias + w.n, packed.bias.data());
  auto* to = reinterpret_cast<float*>(packed.weights.data());
  cpu.run((w.n + layout.panel - 1) / layout.panel,
          [&](int64_t i) { pack_panel(w, i * layout.panel, layout, to + i * layout.panel * w.k); });
  return packed;
}

void linear_f32(CpuContext& cpu, const LinearParams& p) {
  if (p.rows == 0) return;
  const PackedLinear& w = *p.weights;
  const auto plain = ACD_PICK_ISA(linear_f32_tile);
  const StrassenShape shape = ACD_PICK_ISA(strassen_shape)();
  const bool strassen = shape.quicker && p.rows >= kLeastRows && w.k >= kLeastDepth && w.k % 2 == 0;
  const int64_t count = (p.rows + kTileRows - 1) / kTileRows;
  const int64_t height = round_up((p.rows + count - 1) / count, kRowStep);
  const int64_t chunks = (w.n + kTileColumns - 1) / kTileColumns;
  // Tiles of one chunk of columns follow each other, so that its weights stay in the cache.
  cpu.run(chunks * p.batch * count, [&](int64_t index) {
    const int64_t row = index % count * height;
    const int64_t item = index / count % p.batch;
    const int64_t n0 = index / count / p.batch * kTileColumns;
    if (row >= p.rows) return;
    F32Tile tile = tile_of(w, n0, std::min(kTileColumns, w.n - n0));
    tile.x = static_cast<const float*>(p.x) + item * p.batch_x + row * p.ldx;
    tile.ldx = p.ldx;
    tile.rows = std::min(height, p.rows - row);
    tile.y = static_cast<float*>(p.y) + item * p.batch_y + row * p.ldy + n0;
    tile.ldy = p.ldy;
    tile.act = p.act;
    tile.accumulate = p.accumulate;
    if (strassen) {
      run_strassen(tile, shape);
    } else {
      plain(tile);
    }
  });
}

void linear_f32_rows(const PackedLinear& w, const float* x, int64_t ldx, int64_t rows, float* y,
                     int64_t ldy) {
  F32Tile tile = tile_of(w, 0, w.n);
  tile.x = x;
  tile.ldx = ldx;
  tile.rows = rows;
  tile.y = y;
  tile.ldy = ldy;
  ACD_PICK_ISA(linear_f32_tile)(tile);
}

}  // namespace acd
