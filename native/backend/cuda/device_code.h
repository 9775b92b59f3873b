// What the kernels (ops/*/*_cuda.cu) start from: number types, reductions and how to launch.
//
// A kernel file is compiled by nvcc for the device and, with ACD_CUDA_EMULATOR, as plain C++ over
// test/native/cuda_emulator.h. Both see the same source; only this file, warp_matrix.h and the
// emulator know the difference. Rules that make it so: no <<<>>> but launch(), shared memory
// through ACD_SHARED and dynamic_shared(), no inline assembly.
//
// Launch functions take the stream as void*, check nothing, and return cudaError_t as int (0 is
// fine). A launch of no work is fine and does nothing.
#pragma once

#include <cstddef>
#include <cstdint>

#include "backend/cuda/numbers.h"

#if defined(ACD_CUDA_EMULATOR)
#include "cuda_emulator.h"
#define ACD_SHARED(type, name, count)                                  \
  type* const name = static_cast<type*>(::acd::emulator::shared_array( \
      __FILE__, __LINE__, sizeof(type) * static_cast<size_t>(count)))
#define ACD_UNROLL
#else
#include <cuda_bf16.h>
#include <cuda_fp16.h>
#include <cuda_fp8.h>
#include <cuda_runtime.h>
// An array of a block: type name[count], not initialised.
#define ACD_SHARED(type, name, count) __shared__ type name[count]
#define ACD_UNROLL _Pragma("unroll")
#endif

namespace acd::cuda {

using Bf16 = __nv_bfloat16;
using Half = __half;
using E4m3 = __nv_fp8_e4m3;
struct None {};  // in place of the type of something optional that is absent

constexpr int kWarp = 32;
constexpr unsigned kAllLanes = 0xffffffffu;

inline __device__ float to_float(float v) { return v; }
inline __device__ float to_float(Bf16 v) { return __bfloat162float(v); }
inline __device__ float to_float(Half v) { return __half2float(v); }

// Rounds to nearest, ties to even; Half (at 65504) and E4m3 (at 448) saturate, a NaN stays one.
template <typename T>
__device__ T narrow(float v);
template <>
inline __device__ float narrow<float>(float v) {
  return v;
}
template <>
inline __device__ Bf16 narrow<Bf16>(float v) {
  return __float2bfloat16_rn(v);
}
template <>
inline __device__ Half narrow<Half>(float v) {
  // The comparison is false for a NaN, which fminf would drop.
  const float bound = copysignf(65504.0f, v);
  return __float2half_rn(fabsf(v) > 65504.0f ? bound : v);
}
template <>
inline __device__ E4m3 narrow<E4m3>(float v) {
  E4m3 out;
  out.__x = __nv_cvt_float_to_fp8(v, __NV_SATFINITE, __NV_E4M3);
  return out;
}

inline __device__ E4m3Row e4m3_row(float largest) {
  E4m3Row row = {0.0f, 0.0f};
  if (!(largest < kSmallestE4m3Row)) {
    row.scale = largest / kLargestE4m3;
    row.inverse = kLargestE4m3 / largest;
  }
  return row;
}

// Four numbers that lie side by side, moved at once: the address must be a multiple of their size.
template <typename T>
struct alignas(4 * sizeof(T)) Four {
  T v[4];
};

template <typename T>
inline __device__ float4 load4(const T* at) {
  const Four<T> f = *reinterpret_cast<const Four<T>*>(at);
  return make_float4(to_float(f.v[0]), to_float(f.v[1]), to_float(f.v[2]), to_float(f.v[3]));
}

template <typename T>
inline __device__ void store4(T* at, float4 v) {
  Four<T> f;
  f.v[0] = narrow<T>(v.x);
  f.v[1] = narrow<T>(v.y);
  f.v[2] = narrow<T>(v.z);
  f.v[3] = narrow<T>(v.w);
  *reinterpret_cast<Four<T>*>(at) = f;
}

// Over all lanes of a warp; every lane gets the result, and the same bits.
inline __device__ float warp_sum(float v) {
  ACD_UNROLL
  for (int lanes = kWarp / 2; lanes > 0; lanes /= 2) v += __shfl_xor_sync(kAllLanes, v, lanes);
  return v;
}

// Without NaNs, unless all are.
inline __device__ float warp_max(float v) {
  ACD_UNROLL
  for (int lanes = kWarp / 2; lanes > 0; lanes /= 2)
    v = fmaxf(v, __shfl_xor_sync(kAllLanes, v, lanes));
  return v;
}

template <typename T>
inline __device__ T* dynamic_shared() {
#if defined(ACD_CUDA_EMULATOR)
  return static_cast<T*>(::acd::emulator::dynamic_shared());
#else
  extern __shared__ __align__(128) unsigned char acd_dynamic_shared[];
  return reinterpret_cast<T*>(acd_dynamic_shared);
#endif
}

// Host side ---------------------------------------------------------------------------------------

constexpr int kInvalidValue = 1;      // cudaErrorInvalidValue
constexpr int kMemoryAllocation = 2;  // cudaErrorMemoryAllocation

constexpr unsigned blocks_for(int64_t work, int64_t per_block) {
  return static_cast<unsigned>((work + per_block - 1) / per_block);
}

// Whether rows of T at `at`, `ld` apart, can be read four at a time.
template <typename T>
inline bool is_aligned4(const T* at, int64_t ld) {
  return reinterpret_cast<uintptr_t>(at) % (4 * sizeof(T)) == 0 && ld % 4 == 0;
}

template <typename... Parameters, typename... Arguments>
inline int launch(void* stream, dim3 grid, dim3 block, size_t shared_bytes,
                  void (*kernel)(Parameters...), const Arguments&... arguments) {
#if defined(ACD_CUDA_EMULATOR)
  (void)stream;
  ::acd::emulator::launch<Parameters...>(grid, block, shared_bytes, kernel,
                                         static_cast<Parameters>(arguments)...);
  return 0;
#else
  constexpr size_t kWithoutAsking = 48 * 1024;
  if (shared_bytes > kWithoutAsking) {
    const cudaError_t error = cudaFuncSetAttribute(
        kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, static_cast<int>(shared_bytes));
    if (error != cudaSuccess) return error;
  }
  cudaLaunchConfig_t config = {};
  config.gridDim = grid;
  config.blockDim = block;
  config.dynamicSmemBytes = shared_bytes;
  config.stream = static_cast<cudaStream_t>(stream);
  return cudaLaunchKernelEx(&config, kernel, static_cast<Parameters>(arguments)...);
#endif
}

}  // namespace acd::cuda
