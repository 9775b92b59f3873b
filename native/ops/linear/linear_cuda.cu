// Epilogues of a product: bias with an activation, or bias with the residual. Bound by memory: four
// columns a thread where the rows are aligned, the bias kept over the rows of a block.
#include "backend/cuda/device_code.h"
#include "ops/linear/activate_cuda.h"
#include "ops/linear/linear_cuda.h"

namespace acd::cuda {
namespace {

constexpr int kThreads = 256;
constexpr int kRowsPerBlock = 4;

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
  float4 columns = make_float4(1, 1, 1, 1);
  if (a.row_scales) {
    if (kWide == 4) {
      columns = load4(a.column_scales + column);
    } else {
      columns.x = a.column_scales[column];
    }
  }
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
    const float scale = a.row_scales ? a.row_scales[row] : 1.0f;
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
      part(v, k) =
          activate<kAct>(part(v, k) * (scale * part(columns, k)) + part(bias, k)) + part(old, k);
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
                    is_aligned4(static_cast<const Y*>(a.y), a.ldy) && is_aligned4(a.bias, 0) &&
                    is_aligned4(a.column_scales, 0);
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
      break;  // rounded with a scale a row, by quantize
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

}  // namespace acd::cuda
