#include "ops/linear/linear_bf16_cpu.h"

#include <algorithm>

#include "backend/cpu/isa.h"
#include "core/half.h"
#include "ops/linear/linear_bf16_isa.h"

namespace acd {
namespace {

#if defined(ACD_HAVE_avx512_bf16)
// A tile's rows and one panel of weights fit a second-level cache of 1 MB at k = 1024; at 4096 the
// rows come from the third, 24 products to a load. Whole panels and whole blocks of rows.
constexpr int64_t kTileRows = 144, kTileColumns = 2 * kBf16Panel, kRowStep = 6;

int64_t round_up(int64_t n, int64_t to) { return (n + to - 1) / to * to; }

Bf16Tile tile_of(const LinearParams& p, int64_t n0, int64_t n) {
  const PackedLinear& w = *p.weights;
  Bf16Tile tile{};
  tile.ldx = p.ldx;
  tile.k = w.k;
  tile.weights =
      reinterpret_cast<const uint16_t*>(w.weights.data()) + n0 * round_up(w.k, kBf16Depth);
  tile.bias = w.bias.data() + n0;
  tile.n = n;
  tile.ldy = p.ldy;
  tile.y_type = p.y_type;
  tile.act = p.act;
  tile.accumulate = p.accumulate;
  return tile;
}

// Columns [n0, n0 + panel) of W, in pairs of k.
void pack_panel(const LinearWeights& w, int64_t n0, uint16_t* to) {
  const int64_t columns = std::min(kBf16Panel, w.n - n0), width = round_up(columns, kBf16Lanes);
  // A line of the source at a time.
  constexpr int64_t kStep = 16;
  for (int64_t k = 0; k < w.k; k += kStep) {
    const int64_t end = std::min(w.k, k + kStep);
    uint16_t* step = to + k * width;
    for (int64_t c = 0; c < columns; ++c) {
      const float* from = w.weight + (n0 + c) * w.k + k;
      uint16_t* column = step + c * kBf16Depth;
      for (int64_t i = 0; i < end - k; i += kBf16Depth, column += width * kBf16Depth) {
        column[0] = bf16_of_float(from[i]);
        column[1] = i + 1 < end - k ? bf16_of_float(from[i + 1]) : 0;
      }
    }
    for (int64_t i = 0; i < end - k; i += kBf16Depth)
      std::fill(step + i * width + columns * kBf16Depth, step + (i + kBf16Depth) * width, 0);
  }
}

PackedLinear pack_own(CpuContext& cpu, const LinearWeights& w) {
  const int64_t width = round_up(w.n, kBf16Lanes), depth = round_up(w.k, kBf16Depth);
  PackedLinear packed;
  packed.n = w.n;
  packed.k = w.k;
  packed.type = w.type;
  packed.weights = AlignedBytes(static_cast<size_t>(width * depth) * sizeof(uint16_t));
  packed.bias = FloatBuffer(static_cast<size_t>(width));
  std::fill_n(packed.bias.data(), width, 0.0f);
  if (w.bias) std::copy(w.bias, w.bias + w.n, packed.bias.data());
  auto* to = reinterpret_cast<uint16_t*>(packed.weights.data());
  cpu.run((w.n + kBf16Panel - 1) / kBf16Panel,
          [&](int64_t i) { pack_panel(w, i * kBf16Panel, to + i * kBf16Panel * depth); });
  return packed;
}

void round_rows(const void* x, int64_t ldx, int64_t rows, int64_t k, uint8_t* y) {
  avx512_bf16::round_rows(static_cast<const float*>(x), ldx, rows, k,
                          reinterpret_cast<uint16_t*>(y));
}

void multiply_rows(const LinearParams& p, const void* x, int64_t ldx, int64_t rows, void* y) {
  Bf16Tile tile = tile_of(p, 0, p.weights->n);
  tile.x = static_cast<const uint16_t*>(x);
  tile.ldx = ldx;
  tile.rows = rows;
  tile.y = y;
  avx512_bf16::linear_bf16_tile(tile);
}

void linear_own(CpuContext& cpu, const LinearParams& p) {
  const PackedLinear& w = *p.weights;
  const int64_t count = (p.rows + kTileRows - 1) / kTileRows;
  const int64_t height = round_up((p.rows + count - 1) / count, kRowStep);
  const int64_t chunks = (w.n + kTileColumns - 1) / kTileColumns;
  // Tiles of one chunk of columns follow each other, so that its weights stay in the cache.
  cpu.run(chunks * p.batch * count, [&](int64_t index) {
    const int64_t row = index % count * height, item = index / count % p.batch;
    const int64_t n0 = index / count / p.batch * kTileColumns;
    if (row >= p.rows) return;
    Bf16Tile tile = tile_of(p, n0, std::min(kTileColumns, w.n - n0));
    tile.x = static_cast<const uint16_t*>(p.x) + item * p.batch_x + row * p.ldx;
    tile.rows = std::min(height, p.rows - row);
    const int64_t to = item * p.batch_y + row * p.ldy + n0;
    tile.y = static_cast<uint8_t*>(p.y) + to * static_cast<int64_t>(bytes_of(p.y_type));
    avx512_bf16::linear_bf16_tile(tile);
  });
}
#else
constexpr int64_t kTileRows = 1;

PackedLinear pack_own(CpuContext&, const LinearWeights&) { ACD_ASSERT(false); }
void round_rows(const void*, int64_t, int64_t, int64_t, uint8_t*) { ACD_ASSERT(false); }
void multiply_rows(const LinearParams&, const void*, int64_t, int64_t, void*) { ACD_ASSERT(false); }
void linear_own(CpuContext&, const LinearParams&) { ACD_ASSERT(false); }
#endif

PackedLinear pack_onednn(CpuContext& cpu, const LinearWeights& w) {
  PackedLinear packed = cpu.gemm().layout(w);
  cpu.run(Gemm::pieces(packed), [&](int64_t i) { cpu.gemm().pack_piece(w, packed, i); });
  return packed;
}

// In tiles of whole rows.
void linear_by_rows(CpuContext& cpu, const LinearParams& p) {
  const RowTiles rows(p.rows, bf16_by_onednn() ? Gemm::kTileRows : kTileRows);
  const Bf16Rows product(cpu, p, rows.height, rows.size(rows.count - 1));
  const auto x_bytes =
      static_cast<int64_t>(bytes_of(p.round_x ? NumberType::kF32 : NumberType::kBf16));
  const auto y_bytes = static_cast<int64_t>(bytes_of(p.y_type));
  cpu.run(p.batch * rows.count, [&](int64_t index) {
    const int64_t tile = index % rows.count, item = index / rows.count;
    const int64_t from = item * p.batch_x + rows.begin(tile) * p.ldx;
    const int64_t to = item * p.batch_y + rows.begin(tile) * p.ldy;
    product(static_cast<const uint8_t*>(p.x) + from * x_bytes, rows.size(tile),
            static_cast<uint8_t*>(p.y) + to * y_bytes, cpu.scratch(product.scratch_bytes()));
  });
}

}  // namespace

Bf16Rows::Bf16Rows(CpuContext& cpu, const LinearParams& p, int64_t most, int64_t last)
    : gemm_(cpu.gemm()), p_(p), last_(last) {
  const PackedLinear& w = *p.weights;
  if (p.round_x) {
    const auto bytes = static_cast<size_t>(std::max(most, last) * w.k) * sizeof(uint16_t);
    rounded_bytes_ = (bytes + 63) / 64 * 64;
  }
  if (!bf16_by_onednn()) return;
  const auto compiled = [&](int64_t rows) {
    return gemm_.tile({rows, w.n, w.k, p.round_x ? w.k : p.ldx, p.ldy, p.act, p.accumulate,
                       w.bias.size() > 0, p.y_type},
                      w);
  };
  most_rows_ = compiled(most);
  last_rows_ = compiled(last);
  onednn_bytes_ = std::max(most_rows_->scratch_bytes, last_rows_->scratch_bytes);
}

void Bf16Rows::operator()(const void* x, int64_t rows, void* y, uint8_t* scratch) const {
  const PackedLinear& w = *p_.weights;
  int64_t ldx = p_.ldx;
  if (p_.round_x) {
    round_rows(x, ldx, rows, w.k, scratch);
    x = scratch;
    ldx = w.k;
  }
  if (most_rows_)
    gemm_.run(rows == last_ ? *last_rows_ : *most_rows_, w, x, y, scratch + rounded_bytes_);
  else
    multiply_rows(p_, x, ldx, rows, y);
}

PackedLinear pack_bf16(CpuContext& cpu, const LinearWeights& w) {
  return bf16_by_onednn() ? pack_onednn(cpu, w) : pack_own(cpu, w);
}

void linear_bf16(CpuContext& cpu, const LinearParams& p) {
  if (p.round_x || bf16_by_onednn()) return linear_by_rows(cpu, p);
  linear_own(cpu, p);
}

}  // namespace acd
