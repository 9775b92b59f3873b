// Runs CUDA kernels on the CPU: the words of CUDA C++ that the kernels (native/ops/*/*_cuda.cu)
// use, for a compiler that knows none of them.
//
// A kernel is compiled as plain C++ after this header. launch_blocks() runs its blocks one after
// the other; the threads of a block are fibers on one CPU thread, switched only where CUDA threads
// can wait for each other: at __syncthreads and at the *_sync operations of a warp. What the
// emulator sees and a GPU would not tell, ends the launch with an EmulatorError, in one sentence:
// - threads that wait for each other for ever, or at different barriers;
// - lanes of a warp that meet at different operations or name different masks;
// - a write beyond a shared array; a launch that no GPU takes (threads, grid, shared bytes).
// Shared memory starts with kPoison in every word (a NaN as float), so that reading what nobody
// wrote shows; and threads and blocks run in any order that set_order() asks for, each warp as far
// ahead of the others as barriers let it, so that a missing barrier shows as a result that depends
// on the order. An asynchronous copy happens as late as it
// may: when it is waited for.
//
// Not emulated: time, memory spaces, rounding of the approximate functions (__expf and the like are
// the C library's), weak memory order.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <stdexcept>
#include <string>
#include <tuple>
#include <utility>

#include "small_floats.h"

#define __global__
#define __device__
#define __host__
#define __forceinline__ inline
#define __launch_bounds__(...)
#define __restrict__ __restrict
#define __align__(n) alignas(n)

struct dim3 {
  unsigned x, y, z;
  constexpr dim3(unsigned x = 1, unsigned y = 1, unsigned z = 1)  // NOLINT: implicit as in CUDA
      : x(x), y(y), z(z) {}
};

struct alignas(8) float2 {
  float x, y;
};
struct alignas(16) float4 {
  float x, y, z, w;
};
struct alignas(8) uint2 {
  unsigned x, y;
};
struct alignas(16) uint4 {
  unsigned x, y, z, w;
};
inline float2 make_float2(float x, float y) { return {x, y}; }
inline float4 make_float4(float x, float y, float z, float w) { return {x, y, z, w}; }
inline uint2 make_uint2(unsigned x, unsigned y) { return {x, y}; }
inline uint4 make_uint4(unsigned x, unsigned y, unsigned z, unsigned w) { return {x, y, z, w}; }

namespace acd::emulator {

constexpr uint32_t kPoison = 0xffa5a5a5u;
constexpr int kWarpLanes = 32;

class EmulatorError : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

// Where a thread waits.
struct Site {
  const char* file;
  int line;
};

// The running thread.
struct ThreadView {
  dim3 thread, block;
  unsigned lane;
};
extern ThreadView* current;
extern dim3 block_extent, grid_extent;

// 1: threads and blocks in order; 2: backwards; more: shuffled, the number is the seed.
void set_order(int order);

// Runs body(arguments) as every thread of every block.
void launch_blocks(dim3 grid, dim3 block, size_t shared_bytes, void (*body)(void*),
                   void* arguments);

void barrier(Site site);

// A meeting of the lanes in `mask`: the last to come runs resolve(requests, mask), where requests
// holds every lane's `request`, and then all go on. `operation` is its name in messages.
using Resolve = void (*)(void* const* requests, uint32_t mask);
void meet(uint32_t mask, Resolve resolve, void* request, const char* operation, Site site);

// The block's dynamic shared memory, and a shared array that a place in the source declares.
void* dynamic_shared();
void* shared_array(const char* file, int line, size_t bytes);

// Ends the launch.
[[noreturn]] void fail(const char* sentence);

// Copies that become visible when they are waited for.
void copy_async(void* to, const void* from, size_t bytes);
void copy_async_commit();
void copy_async_wait(int groups_left);

template <typename T>
struct ShuffleRequest {
  T value;
  int source;  // lane; the own one where out of range
};

template <typename T>
void resolve_shuffle(void* const* requests, uint32_t mask) {
  T values[kWarpLanes] = {};
  for (int i = 0; i < kWarpLanes; ++i) {
    if (mask >> i & 1) values[i] = static_cast<ShuffleRequest<T>*>(requests[i])->value;
  }
  for (int i = 0; i < kWarpLanes; ++i) {
    if (!(mask >> i & 1)) continue;
    auto* request = static_cast<ShuffleRequest<T>*>(requests[i]);
    if (!(mask >> request->source & 1)) fail("a lane reads from a lane that is not in the mask");
    request->value = values[request->source];
  }
}

template <typename T>
T shuffle(uint32_t mask, T value, int source, const char* operation, Site site) {
  ShuffleRequest<T> request{value, source};
  meet(mask, resolve_shuffle<T>, &request, operation, site);
  return request.value;
}

inline void resolve_ballot(void* const* requests, uint32_t mask) {
  uint32_t votes = 0;
  for (int i = 0; i < kWarpLanes; ++i) {
    if (mask >> i & 1) votes |= *static_cast<uint32_t*>(requests[i]) << i;
  }
  for (int i = 0; i < kWarpLanes; ++i) {
    if (mask >> i & 1) *static_cast<uint32_t*>(requests[i]) = votes;
  }
}

inline void resolve_nothing(void* const*, uint32_t) {}

// kernel<<<grid, block, shared_bytes>>>(arguments...)
template <typename... Parameters>
void launch(dim3 grid, dim3 block, size_t shared_bytes, void (*kernel)(Parameters...),
            Parameters... arguments) {
  auto call = [&] { kernel(arguments...); };
  launch_blocks(
      grid, block, shared_bytes, [](void* c) { (*static_cast<decltype(call)*>(c))(); }, &call);
}

}  // namespace acd::emulator

#define threadIdx (::acd::emulator::current->thread)
#define blockIdx (::acd::emulator::current->block)
#define blockDim (::acd::emulator::block_extent)
#define gridDim (::acd::emulator::grid_extent)

#define ACD_EMULATOR_SITE_PARAMETERS \
  const char *file = __builtin_FILE(), int line = __builtin_LINE()

inline void __syncthreads(ACD_EMULATOR_SITE_PARAMETERS) { acd::emulator::barrier({file, line}); }

inline void __syncwarp(uint32_t mask = 0xffffffffu, ACD_EMULATOR_SITE_PARAMETERS) {
  acd::emulator::meet(mask, acd::emulator::resolve_nothing, nullptr, "__syncwarp", {file, line});
}

template <typename T>
T __shfl_sync(uint32_t mask, T value, int source, int width = 32, ACD_EMULATOR_SITE_PARAMETERS) {
  const int lane = static_cast<int>(acd::emulator::current->lane);
  const int from = lane / width * width + (source & (width - 1));
  return acd::emulator::shuffle(mask, value, from, "__shfl_sync", {file, line});
}

template <typename T>
T __shfl_xor_sync(uint32_t mask, T value, int lanes, int width = 32, ACD_EMULATOR_SITE_PARAMETERS) {
  const int lane = static_cast<int>(acd::emulator::current->lane);
  const int to = lane ^ lanes;
  const int from = to / width <= lane / width ? to : lane;
  return acd::emulator::shuffle(mask, value, from, "__shfl_xor_sync", {file, line});
}

template <typename T>
T __shfl_down_sync(uint32_t mask, T value, unsigned lanes, int width = 32,
                   ACD_EMULATOR_SITE_PARAMETERS) {
  const int lane = static_cast<int>(acd::emulator::current->lane);
  const int to = lane + static_cast<int>(lanes);
  const int from = to / width == lane / width ? to : lane;
  return acd::emulator::shuffle(mask, value, from, "__shfl_down_sync", {file, line});
}

inline uint32_t __ballot_sync(uint32_t mask, int predicate, ACD_EMULATOR_SITE_PARAMETERS) {
  uint32_t vote = predicate != 0;
  acd::emulator::meet(mask, acd::emulator::resolve_ballot, &vote, "__ballot_sync", {file, line});
  return vote;
}

inline int __any_sync(uint32_t mask, int predicate, ACD_EMULATOR_SITE_PARAMETERS) {
  return __ballot_sync(mask, predicate, file, line) != 0;
}

inline int __all_sync(uint32_t mask, int predicate, ACD_EMULATOR_SITE_PARAMETERS) {
  return (__ballot_sync(mask, predicate, file, line) & mask) == mask;
}

// Fibers take turns, so that a plain read and write is atomic.
template <typename T>
T atomicAdd(T* at, T value) {
  const T old = *at;
  *at = old + value;
  return old;
}
template <typename T>
T atomicMax(T* at, T value) {
  const T old = *at;
  *at = std::max(old, value);
  return old;
}
inline void __threadfence() {}

template <typename T>
T __ldg(const T* at) {
  return *at;
}

inline float rsqrtf(float x) { return 1.0f / std::sqrt(x); }
inline float __expf(float x) { return std::exp(x); }
inline float __fdividef(float a, float b) { return a / b; }
inline float __fmul_rn(float a, float b) { return a * b; }
inline float __fadd_rn(float a, float b) { return a + b; }
inline float __fsub_rn(float a, float b) { return a - b; }
inline float __fdiv_rn(float a, float b) { return a / b; }
inline unsigned __float_as_uint(float f) {
  unsigned bits;
  std::memcpy(&bits, &f, sizeof bits);
  return bits;
}
inline float __uint_as_float(unsigned bits) {
  float f;
  std::memcpy(&f, &bits, sizeof f);
  return f;
}
using std::max;
using std::min;

struct __nv_bfloat16 {
  uint16_t bits;
};
struct __half {
  uint16_t bits;
};
struct __nv_fp8_e4m3 {
  uint8_t __x;
};

inline __nv_bfloat16 __float2bfloat16_rn(float f) { return {acd::test::bf16_bits(f)}; }
inline float __bfloat162float(__nv_bfloat16 h) { return acd::test::bf16_value(h.bits); }
inline __half __float2half_rn(float f) { return {acd::test::f16_bits(f)}; }
inline float __half2float(__half h) { return acd::test::f16_value(h.bits); }

using __nv_fp8_storage_t = uint8_t;
enum __nv_saturation_t { __NV_NOSAT, __NV_SATFINITE };
enum __nv_fp8_interpretation_t { __NV_E4M3, __NV_E5M2 };
inline __nv_fp8_storage_t __nv_cvt_float_to_fp8(float f, __nv_saturation_t,
                                                __nv_fp8_interpretation_t) {
  return acd::test::e4m3_bits(f);
}
