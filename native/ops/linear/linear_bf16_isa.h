// The product of bf16 numbers, on AVX512-BF16: one tile of a linear on the calling thread.
#pragma once

#include <cstdint>

#include "backend/cpu/isa_dispatch.h"
#include "ops/linear/linear.h"

namespace acd {

// Columns that lie together in packed weights: [n / 64][k / 2][64][2]. The last panel may be
// narrower, a multiple of 16, with zeros beyond n; zeros too beyond an odd k. Panels follow each
// other without a gap.
constexpr int64_t kBf16Panel = 64, kBf16Lanes = 16;
// Two products are one instruction.
constexpr int64_t kBf16Depth = 2;

struct Bf16Tile {
  const uint16_t* x;
  int64_t ldx;
  int64_t rows;
  int64_t k;
  const uint16_t* weights;  // panels; the tile begins with one
  const float* bias;        // of these columns, padded to whole lanes
  int64_t n;                // columns: whole panels, or up to the linear's last
  void* y;
  int64_t ldy;
  NumberType y_type;  // kF32 or kBf16
  Activation act;
  bool accumulate;  // into f32
};

ACD_DECLARE_BF16(void linear_bf16_tile(const Bf16Tile& t))

// y [rows, k], dense, is x [rows, k] with row stride ldx, to nearest; a NaN stays one.
ACD_DECLARE_BF16(void round_rows(const float* x, int64_t ldx, int64_t rows, int64_t k, uint16_t* y))

}  // namespace acd
