// The Conv-LoRA adapter of one group on CUDA, from its down-projection to the blended tokens, in
// one launch: per kernel size j two convolutions (conv_tokens.h), y_j = B_j * (A_j * z_j), then
// lora_blend.h with y = [y_0, y_1, ...] and the folded up-projection. All pointers are device
// pointers; convolution weights as torch.nn.Conv2d keeps them.
#pragma once

#include <cstddef>
#include <cstdint>

namespace acd::cuda {

constexpr int kMaxKernelSizes = 4;

struct ConvLoraArgs {
  const float* z;  // [batch, grid * grid, kernels * rank], items batch_z apart
  int64_t batch_z;
  float* x;  // [batch, grid * grid, width] in place, row stride ldx, items batch_x apart
  int64_t ldx;
  int64_t batch_x;
  void* copy;  // or null: the result in bf16, row stride ld_copy, items batch_copy apart
  int64_t ld_copy;
  int64_t batch_copy;
  const float* conv_a[kMaxKernelSizes];  // [conv_rank, rank / groups, k, k]
  const float* conv_b[kMaxKernelSizes];  // [rank, conv_rank / groups, k, k]
  int kernel_size[kMaxKernelSizes];      // odd
  int kernels;
  const float* up;   // [kernels * rank, width]
  const float* mix;  // [width]
  int64_t grid;
  int64_t rank;
  int64_t conv_rank;
  int64_t groups;
  int64_t width;
  int64_t batch;
};

// Whether the fused kernel takes these shapes (ranks up to 32 in all, width up to 1024, shared
// memory); otherwise conv_tokens and lora_blend do the same.
bool conv_lora_fits(const ConvLoraArgs& a, size_t shared_bytes);

// Returns cudaError_t.
int conv_lora(void* stream, const ConvLoraArgs& a, size_t shared_bytes);

}  // namespace acd::cuda
