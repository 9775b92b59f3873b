// fuse_map: one launch from the dots to the map and its maximum.
//
// A block makes a band of the map's rows. It computes the rows of the patch grid that its band and
// the blur around it need (about ten of 37), mixes their dots with the gates, blurs along x, then
// along y, and upsamples from shared memory. Neighbouring bands repeat a few grid rows rather
// than wait for another launch. The maximum: floats that are not negative
// order like their bits, and a NaN is above all of them.
#include <cmath>

#include "backend/cuda/device_code.h"
#include "ops/fuse_map/fuse_map_cuda.h"

namespace acd::cuda {
namespace {

constexpr int kThreads = 256;
constexpr int kBand = 8;  // rows of the map a block, where shared memory allows

struct Plan {
  FuseMapParams a;
  float weight[kMaxTaps];  // of the blur
  double step;             // grid positions a pixel
  int band;
  int rows;  // of the grid that a band and its blur need, at most
};

inline __device__ int reflect(int i, int n) {
  if (n == 1) return 0;
  const int period = 2 * (n - 1);
  i = (i < 0 ? -i : i) % period;
  return i < n ? i : period - i;
}

// l_c of token t in group i, times 10.
inline __device__ float2 patch_logits(const FuseMapParams& p, int i, int64_t t) {
  const int64_t columns = 2 * p.groups;
  const float* dots = p.dots + (i * p.grid * p.grid + t) * columns;
  const float* gate = p.gates + i * columns;
  float normal = 0, abnormal = 0;
  for (int64_t j = 0; j < p.groups; ++j) {
    normal += gate[2 * j] * dots[2 * j];
    abnormal += gate[2 * j + 1] * dots[2 * j + 1];
  }
  return make_float2(10.0f * normal, 10.0f * abnormal);
}

inline __device__ FuseMapParams item_of(const FuseMapParams& batch, int64_t item) {
  FuseMapParams p = batch;
  p.dots += item * p.batch_dots;
  p.gates += item * p.batch_gates;
  p.map += item * p.batch_map;
  p.max += item * p.batch_max;
  if (p.logits) p.logits += item * p.batch_logits;
  return p;
}

__global__ void __launch_bounds__(kThreads) fuse_band(Plan plan) {
  const FuseMapParams p = item_of(plan.a, blockIdx.y);
  const int grid = static_cast<int>(p.grid), size = static_cast<int>(p.size);
  const int taps = static_cast<int>(p.taps), half = taps / 2;
  const int first = blockIdx.x * plan.band, last = min(first + plan.band, size) - 1;
  // Grid rows [low, high] are read by the band.
  const int low = static_cast<int>(first * plan.step);
  const int high = min(static_cast<int>(last * plan.step) + 1, grid - 1);
  const int rows = high - low + 1 + 2 * half;  // with the blur's; row r is low - half + r
  float* d = dynamic_shared<float>();          // [plan.rows, grid]
  float* blurred = d + plan.rows * grid;       // [plan.rows, grid]

  for (int i = threadIdx.x; i < rows * grid; i += kThreads) {
    const int64_t t = int64_t{reflect(low - half + i / grid, grid)} * grid + i % grid;
    float sum = 0;
    for (int g = 0; g < p.groups; ++g) {
      const float2 l = patch_logits(p, g, t);
      sum += l.y - l.x;
    }
    d[i] = sum / static_cast<float>(p.groups);
  }
  __syncthreads();
  for (int i = threadIdx.x; i < rows * grid; i += kThreads) {
    const int x = i % grid;
    float sum = 0;
    for (int k = 0; k < taps; ++k) sum += plan.weight[k] * d[i - x + reflect(x + k - half, grid)];
    blurred[i] = sum;
  }
  __syncthreads();
  for (int i = threadIdx.x; i < (high - low + 1) * grid; i += kThreads) {
    float sum = 0;
    for (int k = 0; k < taps; ++k) sum += plan.weight[k] * blurred[i + k * grid];
    d[i] = sum;  // row r is now low + r
  }
  __syncthreads();

  unsigned top = 0;
  for (int i = threadIdx.x; i < (last - first + 1) * size; i += kThreads) {
    const int y = first + i / size, x = i % size;
    const double fy = y * plan.step, fx = x * plan.step;
    const int y0 = static_cast<int>(fy), x0 = static_cast<int>(fx);
    const int x1 = min(x0 + 1, grid - 1);
    const float wy = static_cast<float>(fy - y0), wx = static_cast<float>(fx - x0);
    const float* upper = d + (y0 - low) * grid;
    const float* lower = d + (min(y0 + 1, grid - 1) - low) * grid;
    const float above = upper[x0] * (1 - wx) + upper[x1] * wx;
    const float below = lower[x0] * (1 - wx) + lower[x1] * wx;
    const float v = 1.0f / (1.0f + expf(-(above * (1 - wy) + below * wy)));
    p.map[int64_t{y} * size + x] = v;
    top = max(top, __float_as_uint(v));
  }
  for (int lanes = kWarp / 2; lanes > 0; lanes /= 2) {
    top = max(top, __shfl_xor_sync(kAllLanes, top, lanes));
  }
  if (threadIdx.x % kWarp == 0) atomicMax(reinterpret_cast<unsigned*>(p.max), top);
}

__global__ void __launch_bounds__(kThreads) write_logits(FuseMapParams a) {
  const FuseMapParams p = item_of(a, blockIdx.z);
  const int64_t tokens = p.grid * p.grid, t = int64_t{blockIdx.x} * kThreads + threadIdx.x;
  const int64_t i = blockIdx.y;
  if (t >= tokens) return;
  const float2 l = patch_logits(p, static_cast<int>(i), t);
  p.logits[2 * i * tokens + t] = l.x;
  p.logits[(2 * i + 1) * tokens + t] = l.y;
}

__global__ void clear_max(FuseMapParams a) {
  if (threadIdx.x == 0) a.max[blockIdx.x * a.batch_max] = 0;
}

size_t shared_of(const Plan& plan) {
  return static_cast<size_t>(2 * plan.rows * plan.a.grid) * sizeof(float);
}

bool make_plan(const FuseMapParams& p, size_t shared_bytes, Plan* plan) {
  plan->a = p;
  plan->step = p.size > 1 ? static_cast<double>(p.grid - 1) / static_cast<double>(p.size - 1) : 0.0;
  double total = 0, weight[kMaxTaps];
  for (int64_t i = 0; i < p.taps; ++i) {
    const auto t = static_cast<double>(i - p.taps / 2);
    total += weight[i] = p.taps == 1 ? 1.0 : std::exp(-t * t / (2.0 * p.sigma * p.sigma));
  }
  for (int64_t i = 0; i < p.taps; ++i) plan->weight[i] = static_cast<float>(weight[i] / total);
  for (plan->band = kBand; plan->band > 0; plan->band /= 2) {
    // From the first row's upper neighbour to the last row's lower one.
    const auto span = static_cast<int64_t>(std::ceil((plan->band - 1) * plan->step)) + 2;
    plan->rows = static_cast<int>((span < p.grid ? span : p.grid) + 2 * (p.taps / 2));
    if (shared_of(*plan) <= shared_bytes) return true;
  }
  return false;
}

}  // namespace

int fuse_maps(void* stream, const FuseMapParams& a, size_t shared_bytes) {
  if (a.batch == 0) return 0;
  Plan plan;
  if (a.taps > kMaxTaps || !make_plan(a, shared_bytes, &plan)) return kInvalidValue;
  const auto batch = static_cast<unsigned>(a.batch);
  int error = launch(stream, dim3(batch), dim3(kWarp), 0, clear_max, a);
  if (error == 0 && a.logits) {
    const dim3 grid(blocks_for(a.grid * a.grid, kThreads), static_cast<unsigned>(a.groups), batch);
    error = launch(stream, grid, dim3(kThreads), 0, write_logits, a);
  }
  if (error != 0) return error;
  return launch(stream, dim3(blocks_for(a.size, plan.band), batch), dim3(kThreads), shared_of(plan),
                fuse_band, plan);
}

}  // namespace acd::cuda

int acd::fuse_map_cuda(const CudaLaunch& cuda, const FuseMapParams& p) {
  return cuda::fuse_maps(cuda.stream, p, cuda.shared_bytes);
}
