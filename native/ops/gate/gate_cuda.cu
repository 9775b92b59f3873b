// gate: 0.4 MFLOP a group, in double as on the CPU. Two launches: one warp a hidden unit over the
// whole device, then one block an item and group for the small second product and the softmax.
#include <algorithm>

#include "backend/cuda/device_code.h"
#include "ops/gate/gate_cuda.h"

namespace acd::cuda {
namespace {

constexpr int kWarps = 8;

inline __device__ double warp_dot(const float* a, const float* b, int64_t n) {
  double sum = 0;
  for (int64_t i = threadIdx.x % kWarp; i < n; i += kWarp) sum += double{a[i]} * b[i];
  for (int lanes = kWarp / 2; lanes > 0; lanes /= 2) sum += __shfl_xor_sync(kAllLanes, sum, lanes);
  return sum;
}

__global__ void __launch_bounds__(kWarps* kWarp) gate_hidden(GatesArgs a) {
  const int64_t unit = int64_t{blockIdx.x} * kWarps + threadIdx.x / kWarp;
  if (unit >= a.hidden_width) return;
  const GateWeights& w = a.of[blockIdx.y];
  const int64_t gate = blockIdx.z * a.gates + blockIdx.y;
  const double s = w.b1[unit] + warp_dot(w.w1 + unit * a.width, a.mean + gate * a.width, a.width);
  if (threadIdx.x % kWarp == 0) {
    a.hidden[gate * a.hidden_width + unit] =
        static_cast<float>(0.5 * s * (1.0 + erf(s * 0.70710678118654752440)));
  }
}

__global__ void __launch_bounds__(kWarps* kWarp) gate_softmax(GatesArgs a) {
  ACD_SHARED(double, logits, 2 * kMaxGroups);
  const GateWeights& w = a.of[blockIdx.y];
  const int64_t gate = blockIdx.z * a.gates + blockIdx.y;
  const int outputs = static_cast<int>(2 * a.groups);
  for (int i = threadIdx.x / kWarp; i < outputs; i += kWarps) {
    const double l = w.b2[i] + warp_dot(w.w2 + i * a.hidden_width, a.hidden + gate * a.hidden_width,
                                        a.hidden_width);
    if (threadIdx.x % kWarp == 0) logits[i] = l;
  }
  __syncthreads();
  if (static_cast<int>(threadIdx.x) >= outputs) return;
  const int me = threadIdx.x;
  double top = logits[me % 2], total = 0;
  for (int i = me % 2; i < outputs; i += 2) top = fmax(top, logits[i]);
  for (int i = me % 2; i < outputs; i += 2) total += exp(logits[i] - top);
  a.out[gate * outputs + me] = static_cast<float>(exp(logits[me] - top) / total);
}

}  // namespace

int gates(void* stream, const GatesArgs& a) {
  if (a.batch == 0 || a.gates == 0) return 0;
  if (a.groups > kMaxGroups || a.gates > kMaxGroups) return kInvalidValue;
  const auto gates = static_cast<unsigned>(a.gates), batch = static_cast<unsigned>(a.batch);
  const dim3 block(kWarps * kWarp);
  const int error = launch(stream, dim3(blocks_for(a.hidden_width, kWarps), gates, batch), block, 0,
                           gate_hidden, a);
  if (error != 0) return error;
  return launch(stream, dim3(1, gates, batch), block, 0, gate_softmax, a);
}

}  // namespace acd::cuda

int acd::gate_cuda(const CudaLaunch& cuda, const GateParams& p) {
  if (p.gates > cuda::kMaxGroups || p.groups > cuda::kMaxGroups) return cuda::kInvalidValue;
  void* scratch =
      cuda.scratch(cuda.owner, static_cast<size_t>(p.batch * p.gates * p.hidden) * sizeof(float));
  if (!scratch) return cuda::kMemoryAllocation;
  cuda::GatesArgs a = {};
  a.mean = p.mean;
  a.hidden = static_cast<float*>(scratch);
  a.out = p.out;
  a.batch = p.batch;
  a.groups = p.groups;
  a.width = p.width;
  a.hidden_width = p.hidden;
  a.gates = p.gates;
  std::copy_n(p.of, p.gates, a.of);
  return cuda::gates(cuda.stream, a);
}
