// resize_positions: positional embeddings of one patch grid for another.
//
//   in [1 + old * old, width] -> out [1 + grid * grid, width]; row 0 (class token) is copied; the
//   rest is bicubic (a = -0.5) with antialiasing, half-pixel centres, separable: the kernel is
//   stretched by old / grid when shrinking, and its weights at the border are renormalised. f32,
//   taps in double. Equal grids copy. Done once at load, so there is one plain implementation.
//   Source: torch.nn.functional.interpolate(mode="bicubic", antialias=True, align_corners=False).
#pragma once

#include <cstdint>

namespace acd {

void resize_positions(const float* in, int64_t old_grid, float* out, int64_t grid, int64_t width);

// The meaning in plain loops; linked into tests only.
void resize_positions_ref(const float* in, int64_t old_grid, float* out, int64_t grid,
                          int64_t width);

}  // namespace acd
