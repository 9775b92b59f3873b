// conv_tokens: one output value a thread, inputs and weights from the caches.
#include "backend/cuda/device_code.h"
#include "ops/conv_tokens/conv_tokens_cuda.h"

namespace acd::cuda {
namespace {

constexpr int kThreads = 256;

__global__ void __launch_bounds__(kThreads) convolve(ConvTokensParams p) {
  const int64_t at = int64_t{blockIdx.x} * kThreads + threadIdx.x;
  const int grid = static_cast<int>(p.grid), k = static_cast<int>(p.k), half = k / 2;
  if (at >= int64_t{grid} * grid * p.c_out) return;
  const int token = static_cast<int>(at / p.c_out), o = static_cast<int>(at - token * p.c_out);
  const int row = token / grid, column = token - row * grid;
  const int inputs = static_cast<int>(p.c_in / p.groups);
  const int group = o / static_cast<int>(p.c_out / p.groups);
  const float* x = p.x + blockIdx.y * p.batch_x + group * inputs;
  const float* weight = p.weight + int64_t{o} * inputs * k * k;
  float sum = 0;
  for (int ky = 0; ky < k; ++ky) {
    const int y = row + ky - half;
    if (y < 0 || y >= grid) continue;
    for (int kx = 0; kx < k; ++kx) {
      const int in = column + kx - half;
      if (in < 0 || in >= grid) continue;
      const float* from = x + (int64_t{y} * grid + in) * p.ldx;
      for (int c = 0; c < inputs; ++c) sum += weight[(c * k + ky) * k + kx] * from[c];
    }
  }
  p.y[blockIdx.y * p.batch_y + token * p.ldy + o] = sum;
}

}  // namespace
}  // namespace acd::cuda

int acd::conv_tokens_cuda(const CudaLaunch& cuda, const ConvTokensParams& p) {
  const int64_t values = p.grid * p.grid * p.c_out;
  if (p.batch == 0 || values == 0) return 0;
  const dim3 grid(cuda::blocks_for(values, cuda::kThreads), static_cast<unsigned>(p.batch));
  return cuda::launch(cuda.stream, grid, dim3(cuda::kThreads), 0, cuda::convolve, p);
}
