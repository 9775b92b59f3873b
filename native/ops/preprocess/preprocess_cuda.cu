// preprocess: one thread a pixel, three channels each. The first pass of the resize writes bytes;
// the second rounds its bytes in registers, normalises them and stores them where the patch product
// reads them. The _rn functions are never fused and divide exactly, so that the bits are the CPU's.
#include "backend/cuda/device_code.h"
#include "ops/preprocess/preprocess.h"
#include "ops/preprocess/preprocess_cuda.h"
#include "ops/resize/resize.h"

namespace acd::cuda {
namespace {

constexpr int kThreads = 256;
constexpr unsigned kMaxGridRows = 65535;
constexpr int kFractionBits = 22;

enum class Pass { kNone, kHorizontal, kVertical };

struct Rgb {
  int c[3];
};

inline __device__ int to_u8(int sum) {
  const int v = sum >> kFractionBits;
  return v < 0 ? 0 : v > 255 ? 255 : v;
}

// Pixel (x, y) of the pass's output; src has rows of w pixels.
template <Pass kPass>
inline __device__ Rgb filtered(const uint8_t* src, int w, const DeviceAxis& axis, int x, int y) {
  if (kPass == Pass::kNone) {
    const uint8_t* p = src + (int64_t{y} * w + x) * 3;
    return {{p[0], p[1], p[2]}};
  }
  const int i = kPass == Pass::kHorizontal ? x : y;
  const int first = axis.first[i], count = axis.count[i];
  const int32_t* weights = axis.weights + int64_t{i} * axis.taps;
  const uint8_t* p = kPass == Pass::kHorizontal ? src + (int64_t{y} * w + first) * 3
                                                : src + (int64_t{first} * w + x) * 3;
  const int64_t step = kPass == Pass::kHorizontal ? 3 : int64_t{w} * 3;
  constexpr int kHalf = 1 << (kFractionBits - 1);
  int sum[3] = {kHalf, kHalf, kHalf};
  for (int t = 0; t < count; ++t, p += step) {
    const int weight = weights[t];
    for (int c = 0; c < 3; ++c) sum[c] += p[c] * weight;
  }
  return {{to_u8(sum[0]), to_u8(sum[1]), to_u8(sum[2])}};
}

// [rows, out_w, 3] bytes.
template <Pass kPass>
__global__ void __launch_bounds__(kThreads)
    resize_pass(const uint8_t* src, int w, DeviceAxis axis, uint8_t* out, int out_w, int rows) {
  const int x = blockIdx.x * kThreads + threadIdx.x;
  if (x >= out_w) return;
  for (int y = blockIdx.y; y < rows; y += gridDim.y) {
    const Rgb rgb = filtered<kPass>(src, w, axis, x, y);
    uint8_t* to = out + (int64_t{y} * out_w + x) * 3;
    for (int c = 0; c < 3; ++c) to[c] = static_cast<uint8_t>(rgb.c[c]);
  }
}

template <typename Out>
struct Target {
  Out* out;
  int size;
  int patch;
};

template <Pass kPass, typename Out>
__global__ void __launch_bounds__(kThreads)
    normalise_pass(const uint8_t* src, int w, DeviceAxis axis, Target<Out> target) {
  const int x = blockIdx.x * kThreads + threadIdx.x, size = target.size, patch = target.patch;
  if (x >= size) return;
  // Constants by name: device code may use a constexpr value of the host, but not index its array.
  constexpr float kMean0 = kImageMean[0], kMean1 = kImageMean[1], kMean2 = kImageMean[2];
  constexpr float kStd0 = kImageStd[0], kStd1 = kImageStd[1], kStd2 = kImageStd[2];
  const float mean[3] = {kMean0, kMean1, kMean2}, std[3] = {kStd0, kStd1, kStd2};
  for (int y = blockIdx.y; y < size; y += gridDim.y) {
    const Rgb rgb = filtered<kPass>(src, w, axis, x, y);
    int64_t at = int64_t{y} * size + x, plane = int64_t{size} * size;
    if (patch > 0) {
      const int grid = size / patch;
      plane = int64_t{patch} * patch;
      at = (int64_t{y / patch} * grid + x / patch) * 3 * plane + y % patch * patch + x % patch;
    }
    for (int c = 0; c < 3; ++c) {
      const float unit = __fdiv_rn(static_cast<float>(rgb.c[c]), 255.0f);
      target.out[at + c * plane] = narrow<Out>(__fdiv_rn(__fsub_rn(unit, mean[c]), std[c]));
    }
  }
}

dim3 pixels(int w, int h) {
  const auto rows = static_cast<unsigned>(h);
  return dim3(blocks_for(w, kThreads), rows < kMaxGridRows ? rows : kMaxGridRows);
}

template <typename Out>
int launch_last(void* stream, Pass pass, const uint8_t* src, int w, const DeviceAxis& axis,
                const PreprocessArgs& a) {
  const auto kernel = pass == Pass::kHorizontal ? normalise_pass<Pass::kHorizontal, Out>
                      : pass == Pass::kVertical ? normalise_pass<Pass::kVertical, Out>
                                                : normalise_pass<Pass::kNone, Out>;
  const Target<Out> target = {static_cast<Out*>(a.out), a.size, a.patch};
  return launch(stream, pixels(a.size, a.size), dim3(kThreads), 0, kernel, src, w, axis, target);
}

int launch_typed(void* stream, Pass pass, const uint8_t* src, int w, const DeviceAxis& axis,
                 const PreprocessArgs& a) {
  if (a.out_type == Number::kF32) return launch_last<float>(stream, pass, src, w, axis, a);
  if (a.out_type == Number::kBf16) return launch_last<Bf16>(stream, pass, src, w, axis, a);
  return kInvalidValue;
}

}  // namespace

size_t preprocess_scratch_bytes(int w, int h, int size) {
  if (w == size || h == size) return 0;
  const int64_t side = resize_is_vertical_first(w, h, size) ? w : h;
  return static_cast<size_t>(side * size * 3);
}

int preprocess(void* stream, const PreprocessArgs& a) {
  if (a.w == a.size && a.h == a.size) {
    return launch_typed(stream, Pass::kNone, a.src, a.w, a.horizontal, a);
  }
  if (a.w == a.size) return launch_typed(stream, Pass::kVertical, a.src, a.w, a.vertical, a);
  if (a.h == a.size) return launch_typed(stream, Pass::kHorizontal, a.src, a.w, a.horizontal, a);
  if (resize_is_vertical_first(a.w, a.h, a.size)) {
    const int error =
        launch(stream, pixels(a.w, a.size), dim3(kThreads), 0, resize_pass<Pass::kVertical>, a.src,
               a.w, a.vertical, a.middle, a.w, a.size);
    if (error != 0) return error;
    return launch_typed(stream, Pass::kHorizontal, a.middle, a.w, a.horizontal, a);
  }
  const int error =
      launch(stream, pixels(a.size, a.h), dim3(kThreads), 0, resize_pass<Pass::kHorizontal>, a.src,
             a.w, a.horizontal, a.middle, a.size, a.h);
  if (error != 0) return error;
  return launch_typed(stream, Pass::kVertical, a.middle, a.size, a.vertical, a);
}

}  // namespace acd::cuda

int acd::preprocess_cuda(const CudaLaunch& cuda, const PreprocessParams& p) {
  const int w = static_cast<int>(p.width), h = static_cast<int>(p.height);
  const int size = static_cast<int>(p.size);
  const size_t bytes = cuda::preprocess_scratch_bytes(w, h, size);
  void* middle = bytes > 0 ? cuda.scratch(cuda.owner, bytes) : nullptr;
  if (bytes > 0 && !middle) return cuda::kMemoryAllocation;
  return cuda::preprocess(cuda.stream,
                          {p.pixels, w, h, p.across, p.down, static_cast<uint8_t*>(middle), size,
                           static_cast<int>(p.patch), p.rows, cuda::Number::kF32});
}
