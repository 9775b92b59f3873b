// lora_blend: x := (1 - mix) x + mix * a * |x| / |a|, with a = y up, per row.
//
//   x [rows, width] in place (row stride ldx), y [rows, rank] (row stride ldy), up [rank, width],
//   mix [width]; f32. |.| is the row's L2 norm. A row whose a is all zero keeps a = 0 (the
//   published code divides by zero there). `up` is the folded up-projection: for Conv-LoRA M_j =
//   F_j B_j stacked over kernel sizes, for the text LoRA B, each times its scale. Gradient: with s
//   = |x|/|a|, da = s (mix g) - a (a . mix g) s / |a|^2; dy = da up^T; dup = y^T da; dx = (1 - mix)
//   g + x (a . mix g) / (|x| |a|); dmix = g (s a - x). Source: the AddWeight blend of ACD-CLIP's
//   adapters.
#pragma once

#include <cstdint>

namespace acd {

struct LoraBlendParams {
  float* x;
  int64_t ldx;
  const float* y;
  int64_t ldy;
  const float* up;
  const float* mix;
  int64_t rows;
  int64_t width;
  int64_t rank;
  int64_t batch = 1;    // items, each `rows` rows
  int64_t batch_x = 0;  // stride between items, elements
  int64_t batch_y = 0;
};

void lora_blend_ref(const LoraBlendParams& p);

}  // namespace acd
