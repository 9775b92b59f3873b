// In bf16, tiles of at most 72 rows and all columns, each one oneDNN matmul on one thread; in int8,
// 288 rows x 256 columns, each one call of our own kernel, those of one chunk of columns one after
// the other so that its weights stay in the cache. f32 is in linear_f32_cpu.cc.
#include <cmath>
#include <cstring>

#include "backend/cpu/cpu_context.h"
#include "ops/linear/linear_bf16_isa.h"
#include "ops/linear/linear_f32_cpu.h"
#include "ops/linear/linear_vnni_isa.h"

namespace acd {
namespace {

constexpr int64_t kInt8TileRows = 288, kInt8ChunkColumns = 256;
static_assert(kInt8ChunkColumns % kInt8Panel == 0, "a tile begins with a panel");

int64_t round_up(int64_t n, int64_t to) { return (n + to - 1) / to * to; }

// The codes of one output channel into its column of a panel.
void pack_int8_column(const LinearWeights& w, int64_t column, PackedLinear& packed) {
  const float* from = w.weight + column * w.k;
  const int64_t width = round_up(w.n, kInt8Panel), depth = round_up(w.k, kInt8Depth);
  float top = 0;
  for (int64_t i = 0; i < w.k; ++i) top = std::max(top, std::fabs(from[i]));
  const float inverse = top > 0 ? 127.0f / top : 0.0f;
  uint8_t* to = packed.weights.data() + column / kInt8Panel * kInt8Panel * depth +
                column % kInt8Panel * kInt8Depth;
  int32_t sum = 0;
  for (int64_t i = 0; i < w.k; i += kInt8Depth) {
    int8_t four[kInt8Depth] = {};
    for (int64_t j = 0; j < std::min(kInt8Depth, w.k - i); ++j) {
      constexpr float kRound = 12582912.0f;  // 1.5 * 2^23: the sum is rounded to an integer
      four[j] = static_cast<int8_t>((from[i + j] * inverse + kRound) - kRound);
      sum += four[j];
    }
    std::memcpy(to + i * kInt8Panel, four, sizeof four);
  }
  const float scale = top / 127.0f;
  packed.scales[static_cast<size_t>(column)] = scale;
  packed.scales[static_cast<size_t>(width + column)] = scale * static_cast<float>(sum);
  packed.scales[static_cast<size_t>(2 * width + column)] = w.bias ? w.bias[column] : 0.0f;
}

PackedLinear pack_int8(CpuContext& cpu, const LinearWeights& w) {
  const int64_t width = round_up(w.n, kInt8Panel), depth = round_up(w.k, kInt8Depth);
  PackedLinear packed;
  packed.n = w.n;
  packed.k = w.k;
  packed.type = w.type;
  packed.weights = AlignedBytes(static_cast<size_t>(width * depth));
  packed.scales = FloatBuffer(static_cast<size_t>(3 * width));
  std::fill_n(packed.scales.data(), packed.scales.size(), 0.0f);
  if (w.n % kInt8Panel != 0) {
    const int64_t last = w.n / kInt8Panel * kInt8Panel;
    std::memset(packed.weights.data() + last * depth, 0, static_cast<size_t>(kInt8Panel * depth));
  }
  cpu.run(width / kInt8Panel, [&](int64_t panel) {
    const int64_t end = std::min(w.n, (panel + 1) * kInt8Panel);
    for (int64_t j = panel * kInt8Panel; j < end; ++j) pack_int8_column(w, j, packed);
  });
  return packed;
}

#if defined(ACD_HAVE_avx512_vnni)
void linear_int8(CpuContext& cpu, const LinearParams& p) {
  const PackedLinear& w = *p.weights;
  const RowTiles rows(p.rows, kInt8TileRows);
  const int64_t chunks = (w.n + kInt8ChunkColumns - 1) / kInt8ChunkColumns;
  const int64_t width = round_up(w.n, kInt8Panel), depth = round_up(w.k, kInt8Depth);
  cpu.run(chunks * p.batch * rows.count, [&](int64_t index) {
    const int64_t row = rows.begin(index % rows.count);
    const int64_t item = index / rows.count % p.batch;
    const int64_t n0 = index / rows.count / p.batch * kInt8ChunkColumns;
    const int64_t to = item * p.batch_y + row * p.ldy + n0;
    const float* scales = w.scales.data() + n0;
    avx512_vnni::linear_int8_tile(
        {static_cast<const uint8_t*>(p.x) + item * p.batch_x + row * p.ldx, p.ldx,
         p.x_rows + item * p.rows + row, rows.size(index % rows.count), w.k,
         reinterpret_cast<const int8_t*>(w.weights.data()) + n0 * depth, scales, scales + width,
         scales + 2 * width, std::min(kInt8ChunkColumns, w.n - n0),
         static_cast<uint8_t*>(p.y) + to * static_cast<int64_t>(bytes_of(p.y_type)), p.ldy,
         p.y_type, p.act, p.accumulate});
  });
}
#else
void linear_int8(CpuContext&, const LinearParams&) { ACD_ASSERT(false); }
#endif

}  // namespace

void round_rows_cpu(const float* x, int64_t ldx, int64_t rows, int64_t k, uint16_t* y) {
#if defined(ACD_HAVE_avx512_bf16)
  avx512_bf16::round_rows(x, ldx, rows, k, y);
#else
  static_cast<void>(x), static_cast<void>(ldx), static_cast<void>(rows), static_cast<void>(k);
  static_cast<void>(y);
  ACD_ASSERT(false);
#endif
}

PackedLinear pack_linear_cpu(CpuContext& cpu, const LinearWeights& w) {
  if (w.type == NumberType::kF32) return pack_f32(cpu, w);
  if (w.type == NumberType::kInt8) return pack_int8(cpu, w);
  PackedLinear packed = cpu.gemm().layout(w);
  cpu.run(Gemm::pieces(packed), [&](int64_t i) { cpu.gemm().pack_piece(w, packed, i); });
  return packed;
}

void linear_cpu(CpuContext& cpu, const LinearParams& p) {
  if (p.rows == 0) return;
  const PackedLinear& w = *p.weights;
  if (w.type == NumberType::kF32) return linear_f32(cpu, p);
  if (w.type == NumberType::kInt8) return linear_int8(cpu, p);
  const RowTiles rows(p.rows, Gemm::kTileRows);
  const auto compiled = [&](int64_t height) {
    return cpu.gemm().tile({height, w.n, w.k, p.round_x ? w.k : p.ldx, p.ldy, p.act, p.accumulate,
                            w.bias.size() > 0, p.y_type},
                           w);
  };
  const std::shared_ptr<const Gemm::Tile> kinds[2] = {compiled(rows.height),
                                                      compiled(rows.size(rows.count - 1))};
  const auto* x = static_cast<const uint8_t*>(p.x);
  auto* y = static_cast<uint8_t*>(p.y);
  const auto x_bytes = static_cast<int64_t>(bytes_of(p.round_x ? NumberType::kF32 : w.type));
  const size_t rounded_bytes = p.round_x ? rounded_rows_bytes(rows.height, w.k) : 0;
  const auto y_bytes = static_cast<int64_t>(bytes_of(p.y_type));
  cpu.run(p.batch * rows.count, [&](int64_t index) {
    const int64_t row = index % rows.count, item = index / rows.count;
    const Gemm::Tile& tile = *kinds[row + 1 == rows.count];
    const uint8_t* from = x + (item * p.batch_x + rows.begin(row) * p.ldx) * x_bytes;
    uint8_t* scratch = cpu.scratch(rounded_bytes + tile.scratch_bytes);
    if (p.round_x) {
      round_rows_cpu(reinterpret_cast<const float*>(from), p.ldx, rows.size(row), w.k,
                     reinterpret_cast<uint16_t*>(scratch));
      from = scratch;
    }
    cpu.gemm().run(tile, w, from, y + (item * p.batch_y + rows.begin(row) * p.ldy) * y_bytes,
                   scratch + rounded_bytes);
  });
}

}  // namespace acd
