// patchify: the rows of the patch convolution.
//
//   image [batch, 3, S, S] -> rows [batch, g * g, 3 * p * p], g = S / p; column order (channel, y,
//   x) as torch.nn.Conv2d's weight [D, 3, p, p]; f32. With it the p x p convolution of stride p is
//   one linear. Source: visual.conv1 of CLIP.
#pragma once

#include <cstdint>

namespace acd {

struct PatchifyParams {
  const float* image;
  float* rows;
  int64_t batch;
  int64_t size;
  int64_t patch;
};

void patchify_ref(const PatchifyParams& p);

}  // namespace acd
