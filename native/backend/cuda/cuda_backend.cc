// What the process that opens libacd_cuda.so finds in it.
#include <string>

#include "backend/cuda/cuda_table.h"
#include "backend/cuda/plugin.h"
#include "backend/cuda/probe.h"
#include "core/status.h"

#define ACD_EXPORT extern "C" __attribute__((visibility("default")))

ACD_EXPORT int acd_cuda_probe(acd::CudaProbe* probe, int libraries) {
  if (!probe || probe->struct_bytes != sizeof(acd::CudaProbe))
    return static_cast<int>(acd::Code::kDeviceUnavailable);
  const acd::Status status = acd::guarded([&] {
    acd::probe_cuda(*probe, libraries != 0);
    return acd::Status();
  });
  return static_cast<int>(status.code());
}

ACD_EXPORT int acd_cuda_open(const acd::CudaOptions* options, acd::BackendTable*, char* error,
                             size_t error_bytes) {
  if (!options || options->struct_bytes != sizeof(acd::CudaOptions))
    return static_cast<int>(acd::Code::kDeviceUnavailable);
  const std::string missing = acd::missing_kernels(acd::cuda_table());
  acd::put_text(error, error_bytes, ("this build has no CUDA kernels for " + missing).c_str());
  return static_cast<int>(acd::Code::kDeviceUnavailable);
}
