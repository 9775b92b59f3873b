// head: one warp a token, the token in registers from the norm to the dots.
//
// A block takes 32 tokens. Each warp adds its own tokens up in registers, the block its warps in
// order, and a second launch the blocks of an item in order and in double: the mean has the same
// bits on every run. The vectors reach memory only when asked for.
#include "backend/cuda/device_code.h"
#include "ops/head/head_cuda.h"

namespace acd::cuda {
namespace {

constexpr int kWarps = 8;
constexpr int kTokensPerBlock = 32;
constexpr float kNormEps = 1e-5f;
constexpr float kLengthEps = 1e-12f;

// kPerLane: columns a lane; column i * 32 + lane is its i-th.
template <int kPerLane, typename Y>
__global__ void __launch_bounds__(kWarps* kWarp) head_tokens(HeadArgs a) {
  const int warp = threadIdx.x / kWarp, lane = threadIdx.x % kWarp;
  const int width = static_cast<int>(a.width);
  const int64_t item = blockIdx.y;
  const float* text = a.text ? a.text + item * a.batch_text : nullptr;
  float total[kPerLane];
  ACD_UNROLL
  for (int i = 0; i < kPerLane; ++i) total[i] = 0;
  for (int t = warp; t < kTokensPerBlock; t += kWarps) {
    const int64_t token = int64_t{blockIdx.x} * kTokensPerBlock + t;
    if (token >= a.tokens) break;
    const Y* y = static_cast<const Y*>(a.y) + item * a.batch_y + token * a.ldy;
    float v[kPerLane];
    float sum = 0;
    ACD_UNROLL
    for (int i = 0; i < kPerLane; ++i) {
      const int c = i * kWarp + lane;
      v[i] = c < width ? to_float(y[c]) : 0.0f;
      if (a.bias && c < width) v[i] += a.bias[c];
      sum += v[i];
    }
    const float mean = warp_sum(sum) / static_cast<float>(width);
    float squares = 0;
    ACD_UNROLL
    for (int i = 0; i < kPerLane; ++i) {
      v[i] = i * kWarp + lane < width ? v[i] - mean : 0.0f;
      squares += v[i] * v[i];
    }
    const float rstd = 1.0f / sqrtf(warp_sum(squares) / static_cast<float>(width) + kNormEps);
    squares = 0;
    ACD_UNROLL
    for (int i = 0; i < kPerLane; ++i) {
      const int c = i * kWarp + lane;
      if (c < width) v[i] = v[i] * rstd * a.norm_weight[c] + a.norm_bias[c];
      squares += v[i] * v[i];
    }
    const float length = sqrtf(warp_sum(squares));
    // A NaN stays one: it is not below the bound.
    const float scale = 1.0f / (length < kLengthEps ? kLengthEps : length);
    float* vector = a.vectors ? a.vectors + item * a.batch_vectors + token * a.width : nullptr;
    ACD_UNROLL
    for (int i = 0; i < kPerLane; ++i) {
      const int c = i * kWarp + lane;
      v[i] *= scale;
      total[i] += v[i];
      if (vector && c < width) vector[c] = v[i];
    }
    if (!a.dots) continue;
    float* dots = a.dots + item * a.batch_dots + token * a.columns;
    for (int64_t column = 0; column < a.columns; ++column) {
      const float* of = text + column * a.width;
      float dot = 0;
      ACD_UNROLL
      for (int i = 0; i < kPerLane; ++i) {
        const int c = i * kWarp + lane;
        if (c < width) dot += v[i] * of[c];
      }
      dot = warp_sum(dot);
      if (lane == 0) dots[column] = dot;
    }
  }
  float* sums = dynamic_shared<float>();  // [kWarps, width]
  ACD_UNROLL
  for (int i = 0; i < kPerLane; ++i) {
    if (i * kWarp + lane < width) sums[warp * width + i * kWarp + lane] = total[i];
  }
  __syncthreads();
  float* partial = a.scratch + (item * gridDim.x + blockIdx.x) * a.width;
  for (int c = threadIdx.x; c < width; c += kWarps * kWarp) {
    float sum = 0;
    for (int w = 0; w < kWarps; ++w) sum += sums[w * width + c];
    partial[c] = sum;
  }
}

__global__ void __launch_bounds__(128) head_mean(HeadArgs a, int64_t blocks) {
  const int64_t c = int64_t{blockIdx.x} * 128 + threadIdx.x, item = blockIdx.y;
  if (c >= a.width) return;
  double sum = 0;
  for (int64_t b = 0; b < blocks; ++b) sum += a.scratch[(item * blocks + b) * a.width + c];
  a.mean[item * a.batch_mean + c] = static_cast<float>(sum / static_cast<double>(a.tokens));
}

template <int kPerLane>
int launch_tokens(void* stream, const HeadArgs& a) {
  const dim3 grid(blocks_for(a.tokens, kTokensPerBlock), static_cast<unsigned>(a.batch));
  const dim3 block(kWarps * kWarp);
  const size_t shared = static_cast<size_t>(kWarps * a.width) * sizeof(float);
  if (a.y_type == Number::kF32) {
    return launch(stream, grid, block, shared, head_tokens<kPerLane, float>, a);
  }
  if (a.y_type != Number::kBf16) return kInvalidValue;
  return launch(stream, grid, block, shared, head_tokens<kPerLane, Bf16>, a);
}

int launch_width(void* stream, const HeadArgs& a) {
  if (a.width <= 8 * kWarp) return launch_tokens<8>(stream, a);
  if (a.width <= 16 * kWarp) return launch_tokens<16>(stream, a);
  if (a.width <= 24 * kWarp) return launch_tokens<24>(stream, a);
  if (a.width <= 32 * kWarp) return launch_tokens<32>(stream, a);
  return launch_tokens<48>(stream, a);
}

}  // namespace

HeadArgs head_args(const HeadParams& p, const void* y, const float* bias) {
  HeadArgs a = {};
  a.y = y;
  a.ldy = p.width;
  a.batch_y = p.tokens * p.width;
  a.y_type = Number::kF32;
  a.bias = bias;
  a.norm_weight = p.norm_weight;
  a.norm_bias = p.norm_bias;
  a.text = p.text;
  a.columns = p.columns;
  a.mean = p.mean;
  a.dots = p.dots;
  a.vectors = p.vectors;
  a.tokens = p.tokens;
  a.width = p.width;
  a.batch = p.batch;
  a.batch_text = p.batch_text;
  a.batch_mean = p.batch_mean;
  a.batch_dots = p.batch_dots;
  a.batch_vectors = p.batch_vectors;
  return a;
}

size_t head_scratch_bytes(const HeadArgs& a) {
  return static_cast<size_t>(a.batch * blocks_for(a.tokens, kTokensPerBlock) * a.width) *
         sizeof(float);
}

int head(void* stream, const HeadArgs& a) {
  if (a.batch == 0 || a.tokens == 0 || a.width == 0) return 0;
  if (a.width > kMaxHeadWidth) return kInvalidValue;
  const int error = launch_width(stream, a);
  if (error != 0) return error;
  const dim3 grid(blocks_for(a.width, 128), static_cast<unsigned>(a.batch));
  return launch(stream, grid, dim3(128), 0, head_mean, a,
                int64_t{blocks_for(a.tokens, kTokensPerBlock)});
}

}  // namespace acd::cuda
