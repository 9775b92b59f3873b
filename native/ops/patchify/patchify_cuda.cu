// patchify: one block a patch; its threads go over the patch's row of the product.
#include "backend/cuda/device_code.h"
#include "ops/patchify/patchify_cuda.h"

namespace acd::cuda {
namespace {

constexpr int kThreads = 128;

template <typename Row>
__global__ void __launch_bounds__(kThreads)
    cut(const float* image, Row* rows, int size, int patch) {
  const int grid = size / patch, columns = 3 * patch * patch;
  const int64_t item = blockIdx.x / (grid * grid);
  const int at = static_cast<int>(blockIdx.x - item * grid * grid);
  const float* corner =
      image + item * 3 * size * size + int64_t{at / grid} * patch * size + at % grid * patch;
  Row* row = rows + int64_t{blockIdx.x} * columns;
  for (int i = threadIdx.x; i < columns; i += kThreads) {
    const int channel_y = i / patch, x = i - channel_y * patch;
    const int channel = channel_y / patch, y = channel_y - channel * patch;
    row[i] = narrow<Row>(corner[(int64_t{channel} * size + y) * size + x]);
  }
}

}  // namespace

int patchify(void* stream, const float* image, void* rows, Number rows_type, int64_t batch,
             int64_t size, int64_t patch) {
  const int64_t patches = batch * (size / patch) * (size / patch);
  if (patches == 0) return 0;
  const dim3 grid(blocks_for(patches, 1)), block(kThreads);
  if (rows_type == Number::kF32) {
    return launch(stream, grid, block, 0, cut<float>, image, static_cast<float*>(rows), size,
                  patch);
  }
  if (rows_type != Number::kBf16) return kInvalidValue;
  return launch(stream, grid, block, 0, cut<Bf16>, image, static_cast<Bf16*>(rows), size, patch);
}

}  // namespace acd::cuda

int acd::patchify_cuda(const CudaLaunch& cuda, const PatchifyParams& p) {
  return cuda::patchify(cuda.stream, p.image, p.rows, cuda::Number::kF32, p.batch, p.size, p.patch);
}
