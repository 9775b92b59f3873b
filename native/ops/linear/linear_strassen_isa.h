// Strassen's way to multiply: a tile of f32 numbers in seven products of halves where the plain way
// takes eight.
//
//   x = [x0 x1; x2 x3] (halves of the rows, halves of each part of k), W^T = [w0 w1; w2 w3] (halves
//   of k, the left and the right panels of pairs), y = [y0 y1; y2 y3]:
//   (x0 + x3)(w0 + w3) -> y0, y3     (x2 + x3) w0 -> y2, -y3     x0 (w1 - w3) -> y1, y3
//   x3 (w2 - w0) -> y0, y2           (x0 + x1) w3 -> -y0, y1     (x2 - x0)(w0 + w1) -> y3
//   (x1 - x3)(w2 + w3) -> y0
//   Source: V. Strassen, Gaussian elimination is not optimal, 1969.
//
// Two rows meet in these sums: the rounding of a row is also that of the larger numbers of its
// partner half the tile away, and a NaN or an infinity reaches that partner too.
#pragma once

#include "ops/linear/linear_f32_isa.h"

namespace acd {

// What a tile must be made of, and the floats of scratch that one takes; k must be even.
struct StrassenShape {
  bool quicker;     // than the plain way, at this level
  int64_t rows;     // a multiple of this
  int64_t columns;  // the same
  int64_t scratch;  // for tiles of at most kStrassenRows x kStrassenColumns
};
constexpr int64_t kStrassenRows = 144, kStrassenColumns = 192;

ACD_DECLARE_ISA(StrassenShape strassen_shape())
// t.n counts whole panels alone.
ACD_DECLARE_ISA(void strassen_tile(const F32Tile& t, float* scratch))

}  // namespace acd
