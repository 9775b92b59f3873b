// attention in f32, for parity: tiles of 64 queries and 64 keys in shared memory, four by four
// scores a thread, the softmax kept up online (Milakov and Gimelshein 2018): a running maximum and
// sum a row, outputs rescaled when the maximum grows.
#include "backend/cuda/device_code.h"
#include "ops/attention/attention_cuda.h"

namespace acd::cuda {
namespace {

constexpr int kTile = 64;  // queries, and keys
constexpr int kSide = 16;  // threads along queries and along keys
constexpr int kEach = kTile / kSide;
constexpr int kPitch = kTile + 4;  // of a row in shared memory: aligned, and off the same bank
constexpr int kWidth = static_cast<int>(kHeadWidth);

static_assert(kWidth == kTile, "the tiles of scores and of outputs have one shape");

// 64 rows of q, k or v into shared memory; rows beyond the tokens are zero. kTransposed: [d][row].
template <bool kTransposed>
inline __device__ void load_tile(float* to, const float* from, int64_t pitch, int64_t rows) {
  for (int i = threadIdx.x; i < kTile * kWidth; i += kSide * kSide) {
    const int row = i / kWidth, d = i % kWidth;
    const float v = row < rows ? from[row * pitch + d] : 0.0f;
    to[kTransposed ? d * kPitch + row : row * kPitch + d] = v;
  }
}

// sum [r][c] += left[k][my rows] * right[k][my columns]
inline __device__ void multiply_tiles(float (&sum)[kEach][kEach], const float* left,
                                      const float* right, int row, int column) {
  for (int k = 0; k < kTile; ++k) {
    const float4 a = load4(left + k * kPitch + row), b = load4(right + k * kPitch + column);
    const float x[kEach] = {a.x, a.y, a.z, a.w}, y[kEach] = {b.x, b.y, b.z, b.w};
    ACD_UNROLL
    for (int r = 0; r < kEach; ++r) {
      ACD_UNROLL
      for (int c = 0; c < kEach; ++c) sum[r][c] += x[r] * y[c];
    }
  }
}

// Over the kSide threads that share rows; they are neighbours in a warp.
template <typename Fn>
inline __device__ float over_columns(float v, Fn fn) {
  for (int lanes = kSide / 2; lanes > 0; lanes /= 2)
    v = fn(v, __shfl_xor_sync(kAllLanes, v, lanes));
  return v;
}

__global__ void __launch_bounds__(kSide* kSide) attend_f32(AttentionArgs a) {
  float* q = dynamic_shared<float>();  // [d][query]
  float* k = q + kWidth * kPitch;      // [d][key]
  float* v = k + kWidth * kPitch;      // [key][d]
  float* p = v + kTile * kPitch;       // [key][query]
  const int64_t pitch = 3 * a.heads * kWidth;
  const float* base = static_cast<const float*>(a.qkv) + blockIdx.z * a.tokens * pitch +
                      int64_t{blockIdx.y} * kWidth;
  const int64_t first = int64_t{blockIdx.x} * kTile;
  const int row = threadIdx.x / kSide * kEach, column = threadIdx.x % kSide * kEach;
  load_tile<true>(q, base + first * pitch, pitch, a.tokens - first);
  float top[kEach], total[kEach], out[kEach][kEach] = {};
  for (int r = 0; r < kEach; ++r) {
    top[r] = -INFINITY;
    total[r] = 0;
  }
  const int64_t keys = a.causal ? min(first + kTile, a.tokens) : a.tokens;
  for (int64_t key = 0; key < keys; key += kTile) {
    __syncthreads();
    load_tile<true>(k, base + a.heads * kWidth + key * pitch, pitch, a.tokens - key);
    load_tile<false>(v, base + 2 * a.heads * kWidth + key * pitch, pitch, a.tokens - key);
    __syncthreads();
    float s[kEach][kEach] = {};
    multiply_tiles(s, q, k, row, column);
    ACD_UNROLL
    for (int r = 0; r < kEach; ++r) {
      float highest = top[r];
      ACD_UNROLL
      for (int c = 0; c < kEach; ++c) {
        const int64_t at = key + column + c;
        const bool hidden = at >= a.tokens || (a.causal && at > first + row + r);
        s[r][c] = hidden ? -INFINITY : s[r][c] * 0.125f;
        highest = fmaxf(highest, s[r][c]);
      }
      highest = over_columns(highest, [](float x, float y) { return fmaxf(x, y); });
      const float shrink = expf(top[r] - highest);
      float sum = 0;
      ACD_UNROLL
      for (int c = 0; c < kEach; ++c) {
        s[r][c] = expf(s[r][c] - highest);
        sum += s[r][c];
        p[(column + c) * kPitch + row + r] = s[r][c];
        out[r][c] *= shrink;
      }
      total[r] = total[r] * shrink + over_columns(sum, [](float x, float y) { return x + y; });
      top[r] = highest;
    }
    __syncwarp();  // the weights of a thread's rows come from its own warp
    multiply_tiles(out, p, v, row, column);
  }
  float* to = static_cast<float*>(a.out) + blockIdx.z * a.tokens * a.heads * kWidth +
              int64_t{blockIdx.y} * kWidth + column;
  for (int r = 0; r < kEach; ++r) {
    if (first + row + r >= a.tokens) break;
    for (int c = 0; c < kEach; ++c) {
      to[(first + row + r) * a.heads * kWidth + c] = out[r][c] / total[r];
    }
  }
}

}  // namespace

int attention_plain(void* stream, const AttentionArgs& a) {
  if (a.batch == 0 || a.tokens == 0 || a.heads == 0) return 0;
  if (a.type != Number::kF32) return kInvalidValue;
  const dim3 grid(blocks_for(a.tokens, kTile), static_cast<unsigned>(a.heads),
                  static_cast<unsigned>(a.batch));
  return launch(stream, grid, dim3(kSide * kSide), 4 * kTile * kPitch * sizeof(float), attend_f32,
                a);
}

int attention(void* stream, const AttentionArgs& a) {
  return a.type == Number::kF32 ? attention_plain(stream, a) : attention_tensor(stream, a);
}

}  // namespace acd::cuda

int acd::attention_cuda(const CudaLaunch& cuda, const AttentionParams& p) {
  return cuda::attention(
      cuda.stream, {p.qkv, p.out, p.batch, p.tokens, p.heads, p.causal, cuda::number_of(p.type)});
}
