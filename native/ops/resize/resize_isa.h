#pragma once

#include <stddef.h>
#include <stdint.h>

#include "backend/cpu/isa_dispatch.h"

namespace acd {

constexpr int kResizeFractionBits = 22;
// Rows that the horizontal pass takes at once.
constexpr int kResizeRows = 16;

// One axis of BicubicAxis as plain pointers.
struct ResizeTaps {
  const int32_t* first;
  const int32_t* count;
  const int32_t* weights;  // [out, taps]
  int taps;
  int out;
};

// out[j] = the rounded, clamped sum over t < count of rows[t * row_bytes + j] * k[t].
ACD_DECLARE_ISA(void resize_vertical_row(const uint8_t* rows, size_t row_bytes, const int32_t* k,
                                         int count, uint8_t* out))

// 1 to kResizeRows rows of `w` pixels of 1 to 4 channels, one behind the other, to rows of
// axis.out pixels. scratch: (w + axis.out) * channels * kResizeRows bytes.
ACD_DECLARE_ISA(void resize_horizontal_block(const ResizeTaps& axis, const uint8_t* src, int w,
                                             int rows, int channels, uint8_t* dst,
                                             uint8_t* scratch))

}  // namespace acd
