// assemble_tokens: one block a token, one column a thread.
#include "backend/cuda/device_code.h"
#include "ops/assemble_tokens/assemble_tokens_cuda.h"

namespace acd::cuda {
namespace {

constexpr int kThreads = 256;

__global__ void __launch_bounds__(kThreads) assemble(AssembleTokensParams p) {
  const int64_t row = blockIdx.x, token = row % p.tokens;
  float* x = p.x + row * p.width;
  const float* from = token == 0 ? p.class_embedding : x;
  const float* position = p.positions + token * p.width;
  for (int64_t i = threadIdx.x; i < p.width; i += kThreads) x[i] = from[i] + position[i];
}

}  // namespace
}  // namespace acd::cuda

int acd::assemble_tokens_cuda(const CudaLaunch& cuda, const AssembleTokensParams& p) {
  const int64_t rows = p.batch * p.tokens;
  if (rows == 0) return 0;
  return cuda::launch(cuda.stream, dim3(cuda::blocks_for(rows, 1)), dim3(cuda::kThreads), 0,
                      cuda::assemble, p);
}
