// lora_blend: blend_rows.h where the rank and the width fit into its registers; otherwise one block
// a row that computes a twice, once for its length and once to blend.
#include "ops/lora_blend/blend_rows.h"
#include "ops/lora_blend/lora_blend_cuda.h"

namespace acd::cuda {
namespace {

constexpr int kRowsPerBlock = 16;
constexpr int kThreads = 256;

template <int kRank, bool kAligned, int kThreadsAtMost>
__global__ void __launch_bounds__(kThreadsAtMost) blend(LoraBlendArgs args) {
  ACD_SHARED(float, y, kBlendRows* kRank);
  ACD_SHARED(float, sums, kThreadsAtMost / kWarp * 2 * kBlendRows);
  const LoraBlendParams& p = args.of;
  Blend<kRank, kAligned> blend;
  blend.load(p.up, p.mix, p.rank, p.width);
  const int64_t first = int64_t{blockIdx.x} * kRowsPerBlock;
  for (int64_t row = first; row < min(first + kRowsPerBlock, p.rows); row += kBlendRows) {
    const int rows = static_cast<int>(min(int64_t{kBlendRows}, p.rows - row));
    const float* from = p.y + blockIdx.y * p.batch_y + row * p.ldy;
    for (int i = threadIdx.x; i < kBlendRows * kRank; i += blockDim.x) {
      const int r = i / kRank, k = i % kRank;
      y[i] = r < rows && k < p.rank ? from[r * p.ldy + k] : 0.0f;
    }
    __syncthreads();
    const BlendTarget target = {p.x + blockIdx.y * p.batch_x + row * p.ldx, p.ldx,
                                args.copy ? static_cast<Bf16*>(args.copy) +
                                                blockIdx.y * args.batch_copy + row * args.ld_copy
                                          : nullptr,
                                args.ld_copy};
    blend.run(target, y, rows, p.width, sums);
  }
}

inline __device__ float projected(const LoraBlendParams& p, const float* y, int64_t column) {
  float a = 0;
  for (int64_t k = 0; k < p.rank; ++k) a += y[k] * p.up[k * p.width + column];
  return a;
}

__global__ void __launch_bounds__(kThreads) blend_any(LoraBlendArgs args) {
  ACD_SHARED(float, sums, kThreads / kWarp * 2);
  const LoraBlendParams& p = args.of;
  const int64_t row = blockIdx.x;
  float* x = p.x + blockIdx.y * p.batch_x + row * p.ldx;
  const float* y = p.y + blockIdx.y * p.batch_y + row * p.ldy;
  float xx = 0, aa = 0;
  for (int64_t i = threadIdx.x; i < p.width; i += kThreads) {
    const float a = projected(p, y, i);
    aa += a * a;
    xx += x[i] * x[i];
  }
  xx = warp_sum(xx);
  aa = warp_sum(aa);
  if (threadIdx.x % kWarp == 0) {
    sums[threadIdx.x / kWarp * 2] = xx;
    sums[threadIdx.x / kWarp * 2 + 1] = aa;
  }
  __syncthreads();
  xx = aa = 0;
  for (int w = 0; w < kThreads / kWarp; ++w) {
    xx += sums[2 * w];
    aa += sums[2 * w + 1];
  }
  const float scale = aa > 0 ? sqrtf(xx) / sqrtf(aa) : 0.0f;
  Bf16* copy =
      args.copy ? static_cast<Bf16*>(args.copy) + blockIdx.y * args.batch_copy + row * args.ld_copy
                : nullptr;
  for (int64_t i = threadIdx.x; i < p.width; i += kThreads) {
    const float v = (1.0f - p.mix[i]) * x[i] + p.mix[i] * (projected(p, y, i) * scale);
    x[i] = v;
    if (copy) copy[i] = narrow<Bf16>(v);
  }
}

bool fits_vectors(const LoraBlendArgs& a) {
  const bool copy = !a.copy || (is_aligned4(static_cast<const Bf16*>(a.copy), a.ld_copy) &&
                                a.batch_copy % 4 == 0);
  return copy && a.of.width % 4 == 0 && is_aligned4(a.of.x, a.of.ldx) && a.of.batch_x % 4 == 0 &&
         is_aligned4(a.of.up, a.of.width) && is_aligned4(a.of.mix, 0);
}

template <int kRank, int kThreadsAtMost>
int launch_threads(void* stream, const LoraBlendArgs& a) {
  const dim3 grid(blocks_for(a.of.rows, kRowsPerBlock), static_cast<unsigned>(a.of.batch));
  const dim3 block(static_cast<unsigned>(blend_threads(a.of.width)));
  const auto kernel =
      fits_vectors(a) ? blend<kRank, true, kThreadsAtMost> : blend<kRank, false, kThreadsAtMost>;
  return launch(stream, grid, block, 0, kernel, a);
}

template <int kRank>
int launch_rank(void* stream, const LoraBlendArgs& a) {
  if (blend_threads(a.of.width) <= kBlendThreads) {
    return launch_threads<kRank, kBlendThreads>(stream, a);
  }
  return launch_threads<kRank, kWideBlendThreads>(stream, a);
}

}  // namespace

int lora_blend(void* stream, const LoraBlendArgs& a) {
  if (a.of.batch == 0 || a.of.rows == 0 || a.of.width == 0) return 0;
  if (a.of.width > kMaxBlendWidth || a.of.rank > kMaxBlendRank) {
    const dim3 grid(blocks_for(a.of.rows, 1), static_cast<unsigned>(a.of.batch));
    return launch(stream, grid, dim3(kThreads), 0, blend_any, a);
  }
  if (a.of.rank <= 8) return launch_rank<8>(stream, a);
  if (a.of.rank <= 16) return launch_rank<16>(stream, a);
  return launch_rank<32>(stream, a);
}

}  // namespace acd::cuda

int acd::lora_blend_cuda(const CudaLaunch& cuda, const LoraBlendParams& p) {
  cuda::LoraBlendArgs a;
  a.of = p;
  return cuda::lora_blend(cuda.stream, a);
}
