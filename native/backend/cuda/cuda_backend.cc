// What the process that opens libacd_cuda.so finds in it.
#include <cuda_runtime_api.h>

#include <string>
#include <utility>

#include "backend/cuda/cuda_table.h"
#include "backend/cuda/host/cuda_context.h"
#include "backend/cuda/plugin.h"
#include "backend/cuda/probe.h"
#include "backend/cuda/probe_kernel.h"
#include "backend/cuda/runtime_cudart.h"

#define ACD_EXPORT extern "C" __attribute__((visibility("default")))

namespace acd {
namespace {

Result<CudaDeviceFacts> facts_of(int index) {
  CudaDeviceFacts facts;
  facts.index = index;
  int major = 0, minor = 0, shared = 0;
  const auto ask = [&](int& to, cudaDeviceAttr attribute) {
    return cudaDeviceGetAttribute(&to, attribute, index) == cudaSuccess;
  };
  if (!ask(major, cudaDevAttrComputeCapabilityMajor) ||
      !ask(minor, cudaDevAttrComputeCapabilityMinor) ||
      !ask(facts.multiprocessors, cudaDevAttrMultiProcessorCount) ||
      !ask(shared, cudaDevAttrMaxSharedMemoryPerBlockOptin)) {
    return Status(Code::kDeviceUnavailable,
                  "Device cuda:" + std::to_string(index) +
                      " does not answer: " + cudaGetErrorString(cudaGetLastError()));
  }
  facts.capability = 10 * major + minor;
  facts.shared_bytes = static_cast<size_t>(shared);
  return facts;
}

Status open_device(const CudaOptions& options, BackendTable& table) {
  const BackendTable ops = cuda_table();
  const std::string missing = missing_kernels(ops);
  if (!missing.empty()) {
    return Status(Code::kDeviceUnavailable, "this build has no CUDA kernels for " + missing);
  }
  const auto facts = facts_of(options.device);
  if (!facts.ok()) return facts.status();
  // Not in the probe: it makes a context, on every device that is asked.
  cudaSetDevice(options.device);
  if (const int error = probe_kernel_image()) {
    cudaGetLastError();
    return Status(Code::kDeviceUnavailable,
                  "this build has no kernels for Device cuda:" + std::to_string(options.device) +
                      ": " + cudaGetErrorString(static_cast<cudaError_t>(error)));
  }
  cudaDeviceProp prop = {};
  if (cudaGetDeviceProperties(&prop, options.device) != cudaSuccess) cudaGetLastError();
  auto context =
      CudaBackend::make(cudart_runtime(), facts.value(), prop.name, options.budget_bytes);
  if (!context.ok()) return context.status();
  table = CudaContext::base_table(std::move(context.value()), ops);
  return Status();
}

}  // namespace
}  // namespace acd

ACD_EXPORT int acd_cuda_probe(acd::CudaProbe* probe, int libraries) {
  if (!probe || probe->struct_bytes != sizeof(acd::CudaProbe))
    return static_cast<int>(acd::Code::kDeviceUnavailable);
  const acd::Status status = acd::guarded([&] {
    acd::probe_cuda(*probe, libraries != 0);
    return acd::Status();
  });
  return static_cast<int>(status.code());
}

ACD_EXPORT int acd_cuda_open(const acd::CudaOptions* options, acd::BackendTable* table, char* error,
                             size_t error_bytes) {
  if (!options || options->struct_bytes != sizeof(acd::CudaOptions))
    return static_cast<int>(acd::Code::kDeviceUnavailable);
  const acd::Status status = acd::guarded([&] { return acd::open_device(*options, *table); });
  if (!status.ok()) acd::put_text(error, error_bytes, status.message().c_str());
  return static_cast<int>(status.code());
}
