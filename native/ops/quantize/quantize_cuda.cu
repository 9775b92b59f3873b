// quantize to 8-bit floats: one block a row. Bound by memory: a row of up to 8192 columns is read
// once, activated, and stays in registers while its largest magnitude is found; a row that is wider
// or not aligned is read and activated again.
#include "backend/cuda/device_code.h"
#include "ops/linear/activate_cuda.h"
#include "ops/quantize/quantize_cuda.h"

namespace acd::cuda {
namespace {

constexpr int kThreads = 256;
constexpr int kWarps = kThreads / kWarp;

// The row's scale from what each thread found, for all of them.
inline __device__ E4m3Row scale_of_row(float largest) {
  ACD_SHARED(float, of_warp, kWarps);
  const float found = warp_max(largest);
  if (threadIdx.x % kWarp == 0) of_warp[threadIdx.x / kWarp] = found;
  __syncthreads();
  float top = 0;
  for (int i = 0; i < kWarps; ++i) top = fmaxf(top, of_warp[i]);
  return e4m3_row(top);
}

// Rows of at most kVectors * 1024 columns.
template <int kVectors, Activation kAct, typename X>
__global__ void __launch_bounds__(kThreads) quantize_registers(QuantizeParams p) {
  const int64_t row = blockIdx.x;
  const X* x = static_cast<const X*>(p.x) + row * p.ldx;
  float4 v[kVectors];
  float largest = 0;
  ACD_UNROLL
  for (int i = 0; i < kVectors; ++i) {
    const int64_t column = int64_t{i * kThreads + static_cast<int>(threadIdx.x)} * 4;
    v[i] = make_float4(0, 0, 0, 0);
    if (column >= p.width) continue;
    v[i] = load4(x + column);
    v[i] = make_float4(activate<kAct>(v[i].x), activate<kAct>(v[i].y), activate<kAct>(v[i].z),
                       activate<kAct>(v[i].w));
    largest = fmaxf(
        largest, fmaxf(fmaxf(fabsf(v[i].x), fabsf(v[i].y)), fmaxf(fabsf(v[i].z), fabsf(v[i].w))));
  }
  const E4m3Row scale = scale_of_row(largest);
  if (threadIdx.x == 0) p.y_scales[row] = scale.scale;
  ACD_UNROLL
  for (int i = 0; i < kVectors; ++i) {
    const int64_t column = int64_t{i * kThreads + static_cast<int>(threadIdx.x)} * 4;
    if (column >= p.width) continue;
    store4(reinterpret_cast<E4m3*>(p.y) + row * p.ldy + column,
           make_float4(v[i].x * scale.inverse, v[i].y * scale.inverse, v[i].z * scale.inverse,
                       v[i].w * scale.inverse));
  }
}

template <Activation kAct, typename X>
__global__ void __launch_bounds__(kThreads) quantize_any(QuantizeParams p) {
  const int64_t row = blockIdx.x;
  const X* x = static_cast<const X*>(p.x) + row * p.ldx;
  const auto value = [&](int64_t i) { return activate<kAct>(to_float(x[i])); };
  float largest = 0;
  for (int64_t i = threadIdx.x; i < p.width; i += kThreads)
    largest = fmaxf(largest, fabsf(value(i)));
  const E4m3Row scale = scale_of_row(largest);
  if (threadIdx.x == 0) p.y_scales[row] = scale.scale;
  E4m3* y = reinterpret_cast<E4m3*>(p.y) + row * p.ldy;
  for (int64_t i = threadIdx.x; i < p.width; i += kThreads)
    y[i] = narrow<E4m3>(value(i) * scale.inverse);
}

template <Activation kAct, typename X>
int launch_act(void* stream, const QuantizeParams& p) {
  const dim3 grid(static_cast<unsigned>(p.rows)), block(kThreads);
  const bool fits =
      p.width % 4 == 0 && is_aligned4(static_cast<const X*>(p.x), p.ldx) && is_aligned4(p.y, p.ldy);
  if (!fits || p.width > 8 * 4 * kThreads)
    return launch(stream, grid, block, 0, quantize_any<kAct, X>, p);
  if (p.width <= 4 * kThreads)
    return launch(stream, grid, block, 0, quantize_registers<1, kAct, X>, p);
  if (p.width <= 4 * 4 * kThreads)
    return launch(stream, grid, block, 0, quantize_registers<4, kAct, X>, p);
  return launch(stream, grid, block, 0, quantize_registers<8, kAct, X>, p);
}

template <typename X>
int launch_typed(void* stream, const QuantizeParams& p) {
  switch (p.act) {
    case Activation::kNone:
      return launch_act<Activation::kNone, X>(stream, p);
    case Activation::kGelu:
      return launch_act<Activation::kGelu, X>(stream, p);
    case Activation::kQuickGelu:
      return launch_act<Activation::kQuickGelu, X>(stream, p);
    case Activation::kLeakyRelu:
      return launch_act<Activation::kLeakyRelu, X>(stream, p);
  }
  return kInvalidValue;
}

}  // namespace
}  // namespace acd::cuda

int acd::quantize_cuda(const CudaLaunch& cuda, const QuantizeParams& p) {
  if (p.y_type != NumberType::kE4m3) return cuda::kInvalidValue;
  if (p.rows == 0 || p.width == 0) return 0;
  switch (p.x_type) {
    case NumberType::kF32:
      return cuda::launch_typed<float>(cuda.stream, p);
    case NumberType::kBf16:
      return cuda::launch_typed<cuda::Bf16>(cuda.stream, p);
    case NumberType::kF16:
      return cuda::launch_typed<cuda::Half>(cuda.stream, p);
    default:
      return cuda::kInvalidValue;
  }
}
