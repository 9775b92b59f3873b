// Tensor-core products of a warp in bf16 or f16 and the copies that feed them: the only inline
// assembly.
// Under the emulator each function has the same meaning in plain C++.
//
// Layouts (lane = 4 * g + t): a product is C [16, 8] += A [16, 16] B [16, 8], f32 sums.
//   A: a[0] = rows g, columns 2t and 2t + 1; a[1] = rows g + 8; a[2], a[3] = the same, columns + 8;
//   B: b0 = rows 2t and 2t + 1 of column g; b1 = rows + 8;
//   C: c[0], c[1] = row g, columns 2t and 2t + 1; c[2], c[3] = row g + 8.
// Of two values in a register the low half comes first. T is Bf16 or Half.
#pragma once

#include "backend/cuda/device_code.h"

namespace acd::cuda {

template <typename T>
constexpr bool kIsBf16 = false;
template <>
constexpr bool kIsBf16<Bf16> = true;

template <typename T>
inline __device__ unsigned pack(float low, float high) {
#if defined(ACD_CUDA_EMULATOR)
  return narrow<T>(low).bits | static_cast<unsigned>(narrow<T>(high).bits) << 16;
#else
  unsigned packed;
  if constexpr (kIsBf16<T>) {
    asm("cvt.rn.bf16x2.f32 %0, %1, %2;" : "=r"(packed) : "f"(high), "f"(low));
  } else {
    asm("cvt.rn.f16x2.f32 %0, %1, %2;" : "=r"(packed) : "f"(high), "f"(low));
  }
  return packed;
#endif
}

template <typename T>
inline __device__ float2 unpack(unsigned packed) {
  if constexpr (kIsBf16<T>) {
    return make_float2(__uint_as_float(packed << 16), __uint_as_float(packed & 0xffff0000u));
  } else {
#if defined(ACD_CUDA_EMULATOR)
    return make_float2(to_float(T{static_cast<uint16_t>(packed)}),
                       to_float(T{static_cast<uint16_t>(packed >> 16)}));
#else
    return __half22float2(*reinterpret_cast<const __half2*>(&packed));
#endif
  }
}

// 2^x, to two units in the last place; 0 for -infinity.
inline __device__ float fast_exp2(float x) {
#if defined(ACD_CUDA_EMULATOR)
  return exp2f(x);
#else
  float y;
  asm("ex2.approx.ftz.f32 %0, %1;" : "=f"(y) : "f"(x));
  return y;
#endif
}

#if defined(ACD_CUDA_EMULATOR)
namespace emulated {

// Rows move as bits, whatever their type.
struct MatrixRequest {
  const uint16_t* row;
  unsigned (*out)[4];
};

// Lane 8 i + r names row r of matrix i; lane 4 g + t gets elements 2t and 2t + 1 of row g of each,
// or of column g when transposed.
template <bool kTransposed>
void load(void* const* requests, uint32_t) {
  for (int lane = 0; lane < kWarp; ++lane) {
    const int g = lane / 4, t = lane % 4;
    for (int i = 0; i < 4; ++i) {
      const auto row = [&](int r) { return static_cast<MatrixRequest*>(requests[8 * i + r])->row; };
      const unsigned low = kTransposed ? row(2 * t)[g] : row(g)[2 * t];
      const unsigned high = kTransposed ? row(2 * t + 1)[g] : row(g)[2 * t + 1];
      (*static_cast<MatrixRequest*>(requests[lane])->out)[i] = low | high << 16;
    }
  }
}

struct ProductRequest {
  float* c;
  const unsigned* a;
  unsigned b[2];
};

template <typename T>
inline float half_of(unsigned packed, int high) {
  return to_float(T{static_cast<uint16_t>(high ? packed >> 16 : packed)});
}

template <typename T>
void multiply(void* const* requests, uint32_t) {
  float a[16][16], b[16][8];
  for (int lane = 0; lane < kWarp; ++lane) {
    const auto* r = static_cast<ProductRequest*>(requests[lane]);
    const int g = lane / 4, t = lane % 4;
    for (int i = 0; i < 4; ++i) {
      for (int h = 0; h < 2; ++h) a[g + i % 2 * 8][2 * t + h + i / 2 * 8] = half_of<T>(r->a[i], h);
    }
    for (int i = 0; i < 2; ++i) {
      for (int h = 0; h < 2; ++h) b[2 * t + h + i * 8][g] = half_of<T>(r->b[i], h);
    }
  }
  for (int lane = 0; lane < kWarp; ++lane) {
    float* c = static_cast<ProductRequest*>(requests[lane])->c;
    for (int i = 0; i < 4; ++i) {
      const int row = lane / 4 + i / 2 * 8, column = 2 * (lane % 4) + i % 2;
      float sum = 0;
      for (int k = 0; k < 16; ++k) sum += a[row][k] * b[k][column];
      c[i] += sum;
    }
  }
}

}  // namespace emulated
#endif

// Four 8 x 8 matrices from shared memory: `row` is row lane % 8 of matrix lane / 8, 16 bytes,
// aligned.
template <typename T>
inline __device__ void load_matrices(unsigned (&out)[4], const T* row) {
#if defined(ACD_CUDA_EMULATOR)
  emulated::MatrixRequest request{reinterpret_cast<const uint16_t*>(row), &out};
  ::acd::emulator::meet(kAllLanes, emulated::load<false>, &request, "load_matrices",
                        {__FILE__, __LINE__});
#else
  asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0, %1, %2, %3}, [%4];"
               : "=r"(out[0]), "=r"(out[1]), "=r"(out[2]), "=r"(out[3])
               : "r"(static_cast<unsigned>(__cvta_generic_to_shared(row))));
#endif
}

template <typename T>
inline __device__ void load_matrices_transposed(unsigned (&out)[4], const T* row) {
#if defined(ACD_CUDA_EMULATOR)
  emulated::MatrixRequest request{reinterpret_cast<const uint16_t*>(row), &out};
  ::acd::emulator::meet(kAllLanes, emulated::load<true>, &request, "load_matrices_transposed",
                        {__FILE__, __LINE__});
#else
  asm volatile("ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16 {%0, %1, %2, %3}, [%4];"
               : "=r"(out[0]), "=r"(out[1]), "=r"(out[2]), "=r"(out[3])
               : "r"(static_cast<unsigned>(__cvta_generic_to_shared(row))));
#endif
}

template <typename T>
inline __device__ void multiply_add(float (&c)[4], const unsigned (&a)[4], unsigned b0,
                                    unsigned b1) {
#if defined(ACD_CUDA_EMULATOR)
  emulated::ProductRequest request{c, a, {b0, b1}};
  ::acd::emulator::meet(kAllLanes, emulated::multiply<T>, &request, "multiply_add",
                        {__FILE__, __LINE__});
#else
  if constexpr (kIsBf16<T>) {
    asm volatile(
        "mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 {%0, %1, %2, %3}, "
        "{%4, %5, %6, %7}, {%8, %9}, {%0, %1, %2, %3};"
        : "+f"(c[0]), "+f"(c[1]), "+f"(c[2]), "+f"(c[3])
        : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b0), "r"(b1));
  } else {
    asm volatile(
        "mma.sync.aligned.m16n8k16.row.col.f32.f16.f16.f32 {%0, %1, %2, %3}, "
        "{%4, %5, %6, %7}, {%8, %9}, {%0, %1, %2, %3};"
        : "+f"(c[0]), "+f"(c[1]), "+f"(c[2]), "+f"(c[3])
        : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b0), "r"(b1));
  }
#endif
}

// 16 bytes to shared memory in the background, or zeros when not `valid` (then `from` is not read).
inline __device__ void copy_async_16(void* to, const void* from, bool valid) {
#if defined(ACD_CUDA_EMULATOR)
  static const unsigned char zeros[16] = {};
  ::acd::emulator::copy_async(to, valid ? from : zeros, 16);
#else
  asm volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;" ::"r"(
                   static_cast<unsigned>(__cvta_generic_to_shared(to))),
               "l"(from), "r"(valid ? 16 : 0)
               : "memory");
#endif
}

// Copies since the last commit become a group.
inline __device__ void copy_async_commit() {
#if defined(ACD_CUDA_EMULATOR)
  ::acd::emulator::copy_async_commit();
#else
  asm volatile("cp.async.commit_group;" ::: "memory");
#endif
}

// Until at most kGroups of this thread's groups are on their way; a barrier must follow before
// other threads' copies are read.
template <int kGroups>
inline __device__ void copy_async_wait() {
#if defined(ACD_CUDA_EMULATOR)
  ::acd::emulator::copy_async_wait(kGroups);
#else
  asm volatile("cp.async.wait_group %0;" ::"n"(kGroups) : "memory");
#endif
}

}  // namespace acd::cuda
