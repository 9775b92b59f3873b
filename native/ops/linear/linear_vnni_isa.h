// The product of 8-bit numbers, on AVX512-VNNI.
#pragma once

#include <cstdint>

#include "backend/cpu/isa_dispatch.h"
#include "ops/linear/linear.h"

namespace acd {

// Columns that lie together in packed weights: [n / 64][k / 4][64][4], zeros beyond n and k.
constexpr int64_t kInt8Panel = 64;
// Four products are one instruction.
constexpr int64_t kInt8Depth = 4;

struct Int8Tile {
  const uint8_t* x;
  int64_t ldx;
  const RowScale* x_rows;
  int64_t rows;
  int64_t k;
  const int8_t* weights;  // panels; the tile begins with one
  const float* scale;     // of a weight column; this and the next two are padded to whole panels
  const float* sum;       // scale times the sum of the column's codes
  const float* bias;
  int64_t n;
  void* y;
  int64_t ldy;
  NumberType y_type;
  Activation act;
  bool accumulate;
};

ACD_DECLARE_VNNI(void linear_int8_tile(const Int8Tile& t))

}  // namespace acd
