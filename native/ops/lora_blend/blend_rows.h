// The blend of lora_blend on CUDA, for kernels: also the tail of conv_lora_cuda.cu.
//
// A thread owns four columns and keeps their part of the up-projection in registers (4 * kRank),
// while its block goes over the rows, kBlendRows at a time: x is read once and written once, and
// one row costs rank FMAs a column. The norms need the whole row, so they go through shared memory.
#pragma once

#include "backend/cuda/device_code.h"

namespace acd::cuda {

constexpr int kBlendRows = 4;
constexpr int kBlendColumns = 4;  // a thread
// Up to 1024 columns a block has 256 threads, two warps a quarter of the multiprocessor, with 255
// registers each: no spills at rank 32. Wider rows get a third warp and 168 registers, and spill
// some 200 bytes.
constexpr int kBlendThreads = 256;
constexpr int kWideBlendThreads = 384;
constexpr int64_t kMaxBlendWidth = kWideBlendThreads * kBlendColumns;
constexpr int kMaxBlendRank = 32;

struct BlendTarget {
  float* x;  // row 0
  int64_t ldx;
  Bf16* copy;  // or null
  int64_t ld_copy;
};

inline int blend_threads(int64_t width) {
  return static_cast<int>((width + kBlendColumns * kWarp - 1) / (kBlendColumns * kWarp)) * kWarp;
}

// kAligned: rows and weights can be read four values at a time, and width is a multiple of four.
template <int kRank, bool kAligned>
struct Blend {
  float4 up[kRank];
  float4 mix;

  // Columns of the thread that do not exist read as zero.
  static __device__ float4 load_columns(const float* at, int64_t column, int64_t width) {
    if (kAligned) return column < width ? load4(at + column) : make_float4(0, 0, 0, 0);
    return make_float4(column < width ? at[column] : 0, column + 1 < width ? at[column + 1] : 0,
                       column + 2 < width ? at[column + 2] : 0,
                       column + 3 < width ? at[column + 3] : 0);
  }

  template <typename T>
  static __device__ void store_columns(T* at, float4 v, int64_t column, int64_t width) {
    if (kAligned) {
      if (column < width) store4(at + column, v);
      return;
    }
    if (column < width) at[column] = narrow<T>(v.x);
    if (column + 1 < width) at[column + 1] = narrow<T>(v.y);
    if (column + 2 < width) at[column + 2] = narrow<T>(v.z);
    if (column + 3 < width) at[column + 3] = narrow<T>(v.w);
  }

  inline __device__ void load(const float* up_weights, const float* mix_weights, int64_t rank,
                              int64_t width) {
    const int64_t column = int64_t{threadIdx.x} * kBlendColumns;
    ACD_UNROLL
    for (int k = 0; k < kRank; ++k) {
      up[k] =
          k < rank ? load_columns(up_weights + k * width, column, width) : make_float4(0, 0, 0, 0);
    }
    mix = load_columns(mix_weights, column, width);
  }

  // Rows [0, rows) of the target, rows <= kBlendRows. y: [kBlendRows, kRank] in shared memory,
  // written before a barrier that all threads have passed; the caller writes it again only after
  // another barrier. sums: [warps, 2 * kBlendRows] in shared memory.
  inline __device__ void run(const BlendTarget& target, const float* y, int rows, int64_t width,
                             float* sums) const {
    const int64_t column = int64_t{threadIdx.x} * kBlendColumns;
    const int warp = threadIdx.x / kWarp, lane = threadIdx.x % kWarp;
    const int warps = blockDim.x / kWarp;
    float4 x[kBlendRows], a[kBlendRows];
    ACD_UNROLL
    for (int r = 0; r < kBlendRows; ++r) {
      x[r] = r < rows ? load_columns(target.x + r * target.ldx, column, width)
                      : make_float4(0, 0, 0, 0);
      a[r] = make_float4(0, 0, 0, 0);
    }
    ACD_UNROLL
    for (int k = 0; k < kRank; ++k) {
      ACD_UNROLL
      for (int r = 0; r < kBlendRows; ++r) {
        const float s = y[r * kRank + k];
        a[r].x += s * up[k].x;
        a[r].y += s * up[k].y;
        a[r].z += s * up[k].z;
        a[r].w += s * up[k].w;
      }
    }
    ACD_UNROLL
    for (int r = 0; r < kBlendRows; ++r) {
      const float xx =
          warp_sum((x[r].x * x[r].x + x[r].y * x[r].y) + (x[r].z * x[r].z + x[r].w * x[r].w));
      const float aa =
          warp_sum((a[r].x * a[r].x + a[r].y * a[r].y) + (a[r].z * a[r].z + a[r].w * a[r].w));
      if (lane == 0) {
        sums[warp * 2 * kBlendRows + 2 * r] = xx;
        sums[warp * 2 * kBlendRows + 2 * r + 1] = aa;
      }
    }
    __syncthreads();
    ACD_UNROLL
    for (int r = 0; r < kBlendRows; ++r) {
      if (r >= rows) break;
      float xx = 0, aa = 0;
      for (int w = 0; w < warps; ++w) {
        xx += sums[w * 2 * kBlendRows + 2 * r];
        aa += sums[w * 2 * kBlendRows + 2 * r + 1];
      }
      const float scale = aa > 0 ? sqrtf(xx) / sqrtf(aa) : 0.0f;
      const float4 v = make_float4((1.0f - mix.x) * x[r].x + mix.x * (a[r].x * scale),
                                   (1.0f - mix.y) * x[r].y + mix.y * (a[r].y * scale),
                                   (1.0f - mix.z) * x[r].z + mix.z * (a[r].z * scale),
                                   (1.0f - mix.w) * x[r].w + mix.w * (a[r].w * scale));
      store_columns(target.x + r * target.ldx, v, column, width);
      if (target.copy) store_columns(target.copy + r * target.ld_copy, v, column, width);
    }
  }
};

}  // namespace acd::cuda
