// The product of f32 numbers: one tile of a linear on the calling thread.
#pragma once

#include <cstdint>

#include "backend/cpu/isa_dispatch.h"
#include "ops/linear/linear.h"

namespace acd {

// How weights are packed: [n / panel][k][panel]. The last panel may be narrower, a multiple of
// `lanes`, with zeros beyond n; panels follow each other without a gap, so the one that begins at
// column c lies c * k floats from the start.
struct F32Layout {
  int64_t panel;
  int64_t lanes;
};

struct F32Tile {
  const float* x;
  int64_t ldx;
  int64_t rows;
  int64_t k;
  const float* weights;  // panels; the tile begins with one
  const float* bias;     // of these columns, padded to whole lanes
  int64_t n;             // columns: whole panels, or up to the linear's last
  float* y;
  int64_t ldy;
  Activation act;
  bool accumulate;
};

ACD_DECLARE_ISA(F32Layout f32_layout())
ACD_DECLARE_ISA(void linear_f32_tile(const F32Tile& t))

}  // namespace acd
