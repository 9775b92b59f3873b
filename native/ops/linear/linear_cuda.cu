// Epilogues of a product: bias with an activation, or bias with the residual. Bound by memory: four
// columns a thread where the rows are aligned, the bias kept over the rows of a block.
#include "backend/cuda/device_code.h"
#include "ops/linear/linear_cuda.h"

namespace acd::cuda {
namespace {

constexpr int kThreads = 256;
constexpr int kRowsPerBlock = 4;

template <Activation kAct>
inline __device__ float activate(float s) {
  switch (kAct) {
    case Activation::kGelu:
      return 0.5f * s * (1.0f + erff(s * 0.70710678118654752f));
    case Activation::kQuickGelu:
      return s / (1.0f + expf(-1.702f * s));
    case Activation::kLeakyRelu:
      return s < 0.0f ? 0.01f * s : s;
    default:
      return s;
  }
}

template <typename Y>
inline __device__ float scale_of(const LinearEpilogueArgs&) {
  return 1.0f;
}
template <>
inline __device__ float scale_of<E4m3>(const LinearEpilogueArgs& a) {
  return a.y_scale;
}

inline __device__ float& part(float4& v, int i) {
  return i == 0 ? v.x : i == 1 ? v.y : i == 2 ? v.z : v.w;
}

// One thread does kWide columns of kRowsPerBlock rows.
template <int kWide, Activation kAct, typename Product, typename Y>
__global__ void __launch_bounds__(kThreads) epilogue(LinearEpilogueArgs a) {
  const int64_t column = (int64_t{blockIdx.y} * kThreads + threadIdx.x) * kWide;
  if (column >= a.width) return;
  float4 bias = make_float4(0, 0, 0, 0);
  if (a.bias) {
    if (kWide == 4) {
      bias = load4(a.bias + column);
    } else {
      bias.x = a.bias[column];
    }
  }
  const float scale = scale_of<Y>(a);
  for (int i = 0; i < kRowsPerBlock; ++i) {
    // 32 bits: a division of 64 takes as long as the row's memory.
    const unsigned row = blockIdx.x * kRowsPerBlock + i, rows = static_cast<unsigned>(a.rows);
    if (row >= rows * static_cast<unsigned>(a.batch)) return;
    const int64_t item = row / rows, in_item = row % rows;
    const Product* product =
        static_cast<const Product*>(a.product) + item * a.batch_product + in_item * a.ldp + column;
    Y* y = static_cast<Y*>(a.y) + item * a.batch_y + in_item * a.ldy + column;
    float4 v = make_float4(0, 0, 0, 0);
    if (kWide == 4) {
      v = load4(product);
    } else {
      v.x = to_float(*product);
    }
    float4 old = make_float4(0, 0, 0, 0);
    if (a.accumulate) {
      if (kWide == 4) {
        old = load4(reinterpret_cast<const float*>(y));
      } else {
        old.x = *reinterpret_cast<const float*>(y);
      }
    }
    ACD_UNROLL
    for (int k = 0; k < kWide; ++k) {
      part(v, k) = (activate<kAct>(part(v, k) + part(bias, k)) + part(old, k)) * scale;
    }
    if (kWide == 4) {
      store4(y, v);
    } else {
      *y = narrow<Y>(v.x);
    }
  }
}

template <Activation kAct, typename Product, typename Y>
int launch_act(void* stream, const LinearEpilogueArgs& a) {
  const bool fits = a.width % 4 == 0 && a.batch_product % 4 == 0 && a.batch_y % 4 == 0 &&
                    is_aligned4(static_cast<const Product*>(a.product), a.ldp) &&
                    is_aligned4(static_cast<const Y*>(a.y), a.ldy) && is_aligned4(a.bias, 0);
  const int wide = fits ? 4 : 1;
  const dim3 grid(blocks_for(a.batch * a.rows, kRowsPerBlock),
                  blocks_for(a.width, int64_t{kThreads} * wide));
  if (fits) return launch(stream, grid, dim3(kThreads), 0, epilogue<4, kAct, Product, Y>, a);
  return launch(stream, grid, dim3(kThreads), 0, epilogue<1, kAct, Product, Y>, a);
}

template <typename Product, typename Y>
int launch_typed(void* stream, const LinearEpilogueArgs& a) {
  switch (a.act) {
    case Activation::kGelu:
      return launch_act<Activation::kGelu, Product, Y>(stream, a);
    case Activation::kQuickGelu:
      return launch_act<Activation::kQuickGelu, Product, Y>(stream, a);
    case Activation::kLeakyRelu:
      return launch_act<Activation::kLeakyRelu, Product, Y>(stream, a);
    default:
      return launch_act<Activation::kNone, Product, Y>(stream, a);
  }
}

// Without their sign floats order like their bits, and a NaN is above all of them.
template <typename X>
__global__ void __launch_bounds__(kThreads)
    absolute_max(const X* x, int64_t rows, int64_t width, int64_t ldx, unsigned* max_bits) {
  unsigned top = 0;
  for (int64_t row = blockIdx.x; row < rows; row += gridDim.x) {
    for (int64_t i = threadIdx.x; i < width; i += kThreads) {
      top = max(top, __float_as_uint(to_float(x[row * ldx + i])) & 0x7fffffffu);
    }
  }
  for (int lanes = kWarp / 2; lanes > 0; lanes /= 2) {
    top = max(top, __shfl_xor_sync(kAllLanes, top, lanes));
  }
  if (threadIdx.x % kWarp == 0) atomicMax(max_bits, top);
}

template <typename Product>
int launch_product(void* stream, const LinearEpilogueArgs& a) {
  switch (a.y_type) {
    case Number::kF32:
      return launch_typed<Product, float>(stream, a);
    case Number::kBf16:
      return launch_typed<Product, Bf16>(stream, a);
    case Number::kF16:
      return launch_typed<Product, Half>(stream, a);
    case Number::kE4m3:
      return launch_typed<Product, E4m3>(stream, a);
  }
  return kInvalidValue;
}

}  // namespace

int linear_epilogue(void* stream, const LinearEpilogueArgs& a) {
  if (a.batch * a.rows == 0 || a.width == 0) return 0;
  if (a.accumulate && a.y_type != Number::kF32) return kInvalidValue;
  if (a.product_type == Number::kF32) return launch_product<float>(stream, a);
  if (a.product_type == Number::kBf16) return launch_product<Bf16>(stream, a);
  if (a.product_type == Number::kF16) return launch_product<Half>(stream, a);
  return kInvalidValue;
}

int grow_absolute_max(void* stream, const void* x, Number type, int64_t rows, int64_t width,
                      int64_t ldx, float* max) {
  if (rows == 0 || width == 0) return 0;
  constexpr int64_t kMostBlocks = 1024;
  const dim3 grid(blocks_for(rows < kMostBlocks ? rows : kMostBlocks, 1)), block(kThreads);
  auto* bits = reinterpret_cast<unsigned*>(max);
  if (type == Number::kF32) {
    return launch(stream, grid, block, 0, absolute_max<float>, static_cast<const float*>(x), rows,
                  width, ldx, bits);
  }
  if (type != Number::kBf16) return kInvalidValue;
  return launch(stream, grid, block, 0, absolute_max<Bf16>, static_cast<const Bf16*>(x), rows,
                width, ldx, bits);
}

}  // namespace acd::cuda
