// In int8, tiles of 288 rows x 256 columns, each one call of the kernel, those of one chunk of
// columns one after the other so that its weights stay in the cache. The other types have files of
// their own.
#include <cmath>
#include <cstring>

#include "backend/cpu/cpu_context.h"
#include "ops/linear/linear_bf16_cpu.h"
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

PackedLinear pack_linear_cpu(CpuContext& cpu, const LinearWeights& w) {
  if (w.type == NumberType::kF32) return pack_f32(cpu, w);
  return w.type == NumberType::kInt8 ? pack_int8(cpu, w) : pack_bf16(cpu, w);
}

void linear_cpu(CpuContext& cpu, const LinearParams& p) {
  if (p.rows == 0) return;
  const NumberType type = p.weights->type;
  if (type == NumberType::kF32) return linear_f32(cpu, p);
  return type == NumberType::kInt8 ? linear_int8(cpu, p) : linear_bf16(cpu, p);
}

}  // namespace acd
