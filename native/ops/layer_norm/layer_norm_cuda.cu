// layer_norm: one warp a row, statistics in f32 in two passes (mean, then squares around it).
//
// Bound by memory. A row of up to 1536 columns stays in registers between the passes, so each value
// is read once and written once; no shared memory, no barrier. Rows that are wider, or not aligned
// to 16 bytes, are read again in each pass (from the cache).
#include "backend/cuda/device_code.h"
#include "ops/layer_norm/layer_norm_cuda.h"

namespace acd::cuda {
namespace {

constexpr int kRowsPerBlock = 4;  // warps

inline __device__ int64_t row_of_warp() {
  return int64_t{blockIdx.x} * kRowsPerBlock + threadIdx.x / kWarp;
}

template <typename Y>
constexpr bool kIsE4m3 = false;
template <>
constexpr bool kIsE4m3<E4m3> = true;

// What a row's values are multiplied with before rounding; `largest` is this lane's own.
template <typename Y>
inline __device__ float row_factor(const LayerNormArgs& a, int64_t row, float largest) {
  if (!kIsE4m3<Y>) return 1.0f;
  const E4m3Row scale = e4m3_row(warp_max(largest));
  if (threadIdx.x % kWarp == 0) a.y_scales[row] = scale.scale;
  return scale.inverse;
}

template <typename Delta>
inline __device__ float4 delta4(const LayerNormArgs& a, int64_t row, int64_t column) {
  float4 d = load4(static_cast<const Delta*>(a.delta) + row * a.ldd + column);
  if (a.delta_bias) {
    const float4 b = load4(a.delta_bias + column);
    d = make_float4(d.x + b.x, d.y + b.y, d.z + b.z, d.w + b.w);
  }
  return d;
}
template <>
inline __device__ float4 delta4<None>(const LayerNormArgs&, int64_t, int64_t) {
  return make_float4(0, 0, 0, 0);
}

template <typename Delta>
inline __device__ float delta1(const LayerNormArgs& a, int64_t row, int64_t column) {
  const float d = to_float(static_cast<const Delta*>(a.delta)[row * a.ldd + column]);
  return a.delta_bias ? d + a.delta_bias[column] : d;
}
template <>
inline __device__ float delta1<None>(const LayerNormArgs&, int64_t, int64_t) {
  return 0.0f;
}

template <typename T>
constexpr bool kIsNone = false;
template <>
constexpr bool kIsNone<None> = true;

// Rows of at most kVectors * 128 columns, in registers.
template <int kVectors, typename Y, typename Delta>
__global__ void __launch_bounds__(kRowsPerBlock* kWarp) layer_norm_registers(LayerNormArgs a) {
  const int64_t row = row_of_warp();
  if (row >= a.rows) return;
  const int lane = threadIdx.x % kWarp;
  float4 v[kVectors];
  float sum = 0;
  ACD_UNROLL
  for (int i = 0; i < kVectors; ++i) {
    const int64_t column = (i * kWarp + lane) * 4;
    v[i] = make_float4(0, 0, 0, 0);
    if (column >= a.width) continue;
    v[i] = load4(a.x + row * a.ldx + column);
    if (!kIsNone<Delta>) {
      const float4 d = delta4<Delta>(a, row, column);
      v[i] = make_float4(v[i].x + d.x, v[i].y + d.y, v[i].z + d.z, v[i].w + d.w);
      store4(a.sum + row * a.ldx + column, v[i]);
    }
    sum += (v[i].x + v[i].y) + (v[i].z + v[i].w);
  }
  const float width = static_cast<float>(a.width);
  const float mean = warp_sum(sum) / width;
  float squares = 0;
  ACD_UNROLL
  for (int i = 0; i < kVectors; ++i) {
    if ((i * kWarp + lane) * 4 >= a.width) continue;
    v[i] = make_float4(v[i].x - mean, v[i].y - mean, v[i].z - mean, v[i].w - mean);
    squares += (v[i].x * v[i].x + v[i].y * v[i].y) + (v[i].z * v[i].z + v[i].w * v[i].w);
  }
  const float rstd = 1.0f / sqrtf(warp_sum(squares) / width + a.eps);
  float largest = 0;
  ACD_UNROLL
  for (int i = 0; i < kVectors; ++i) {
    const int64_t column = (i * kWarp + lane) * 4;
    if (column >= a.width) continue;
    const float4 w = load4(a.weight + column), b = load4(a.bias + column);
    v[i] = make_float4(v[i].x * rstd * w.x + b.x, v[i].y * rstd * w.y + b.y,
                       v[i].z * rstd * w.z + b.z, v[i].w * rstd * w.w + b.w);
    largest = fmaxf(
        largest, fmaxf(fmaxf(fabsf(v[i].x), fabsf(v[i].y)), fmaxf(fabsf(v[i].z), fabsf(v[i].w))));
  }
  const float factor = row_factor<Y>(a, row, largest);
  ACD_UNROLL
  for (int i = 0; i < kVectors; ++i) {
    const int64_t column = (i * kWarp + lane) * 4;
    if (column >= a.width) continue;
    store4(static_cast<Y*>(a.y) + row * a.ldy + column,
           make_float4(v[i].x * factor, v[i].y * factor, v[i].z * factor, v[i].w * factor));
  }
}

// Any width and alignment. y may be x: a lane reads and writes its own columns alone.
template <typename Y, typename Delta>
__global__ void __launch_bounds__(kRowsPerBlock* kWarp) layer_norm_any(LayerNormArgs a) {
  const int64_t row = row_of_warp();
  if (row >= a.rows) return;
  const int lane = threadIdx.x % kWarp;
  const float* x = a.x + row * a.ldx;
  float sum = 0;
  for (int64_t i = lane; i < a.width; i += kWarp) {
    float v = x[i];
    if (!kIsNone<Delta>) {
      v += delta1<Delta>(a, row, i);
      a.sum[row * a.ldx + i] = v;
    }
    sum += v;
  }
  if (!kIsNone<Delta>) x = a.sum + row * a.ldx;
  const float width = static_cast<float>(a.width);
  const float mean = warp_sum(sum) / width;
  float squares = 0;
  for (int64_t i = lane; i < a.width; i += kWarp) squares += (x[i] - mean) * (x[i] - mean);
  const float rstd = 1.0f / sqrtf(warp_sum(squares) / width + a.eps);
  const auto value = [&](int64_t i) { return (x[i] - mean) * rstd * a.weight[i] + a.bias[i]; };
  float largest = 0;
  if (kIsE4m3<Y>) {
    for (int64_t i = lane; i < a.width; i += kWarp) largest = fmaxf(largest, fabsf(value(i)));
  }
  const float factor = row_factor<Y>(a, row, largest);
  Y* y = static_cast<Y*>(a.y) + row * a.ldy;
  for (int64_t i = lane; i < a.width; i += kWarp) y[i] = narrow<Y>(value(i) * factor);
}

template <typename Y, typename Delta>
bool fits_vectors(const LayerNormArgs& a) {
  bool fits = a.width % 4 == 0 && a.width <= 12 * 4 * kWarp && is_aligned4(a.x, a.ldx) &&
              is_aligned4(a.weight, 0) && is_aligned4(a.bias, 0) &&
              is_aligned4(static_cast<const Y*>(a.y), a.ldy);
  if constexpr (!kIsNone<Delta>) {
    fits = fits && is_aligned4(static_cast<const Delta*>(a.delta), a.ldd) &&
           is_aligned4(a.delta_bias, 0) && is_aligned4(a.sum, a.ldx);
  }
  return fits;
}

template <typename Y, typename Delta>
int launch_rows(void* stream, const LayerNormArgs& a) {
  const dim3 grid(blocks_for(a.rows, kRowsPerBlock)), block(kRowsPerBlock * kWarp);
  if (!fits_vectors<Y, Delta>(a))
    return launch(stream, grid, block, 0, layer_norm_any<Y, Delta>, a);
  if (a.width <= 512) return launch(stream, grid, block, 0, layer_norm_registers<4, Y, Delta>, a);
  if (a.width <= 1024) return launch(stream, grid, block, 0, layer_norm_registers<8, Y, Delta>, a);
  return launch(stream, grid, block, 0, layer_norm_registers<12, Y, Delta>, a);
}

template <typename Y>
int launch_typed(void* stream, const LayerNormArgs& a) {
  if (!a.delta) return launch_rows<Y, None>(stream, a);
  if (a.delta_type == Number::kF32) return launch_rows<Y, float>(stream, a);
  return launch_rows<Y, Bf16>(stream, a);
}

}  // namespace

int layer_norm(void* stream, const LayerNormArgs& a) {
  if (a.rows == 0 || a.width == 0) return 0;
  switch (a.y_type) {
    case Number::kF32:
      return launch_typed<float>(stream, a);
    case Number::kBf16:
      return launch_typed<Bf16>(stream, a);
    case Number::kF16:
      return launch_typed<Half>(stream, a);
    case Number::kE4m3:
      return launch_typed<E4m3>(stream, a);
  }
  return kInvalidValue;
}

}  // namespace acd::cuda

int acd::layer_norm_cuda(const CudaLaunch& cuda, const LayerNormParams& p) {
  if (p.y_type == NumberType::kInt8) return cuda::kInvalidValue;
  return cuda::layer_norm(cuda.stream, {p.x, p.ldx, p.weight, p.bias, p.y, p.ldy, p.rows, p.width,
                                        p.eps, cuda::number_of(p.y_type), p.y_scales});
}
