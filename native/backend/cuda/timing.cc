#include "backend/cuda/timing.h"

#include <cuda_runtime_api.h>

#include "backend/cuda/host/cuda_context.h"

namespace acd {

Status timed_on(CudaContext& context, void* stream_pointer, int runs,
                const std::function<Status()>& work, float& milliseconds) {
  const auto stream = static_cast<cudaStream_t>(stream_pointer);
  ACD_RETURN_IF_ERROR(work());
  cudaEvent_t start = nullptr, stop = nullptr;
  const auto done = [&](int error) {
    if (start) cudaEventDestroy(start);
    if (stop) cudaEventDestroy(stop);
    return context.errors().check(error, "timing");
  };
  int error = cudaEventCreate(&start);
  if (error == 0) error = cudaEventCreate(&stop);
  if (error == 0) error = cudaEventRecord(start, stream);
  for (int i = 0; i < runs && error == 0; ++i) {
    const Status run = work();
    if (!run.ok()) {
      (void)done(0);
      return run;
    }
  }
  if (error == 0) error = cudaEventRecord(stop, stream);
  if (error == 0) error = cudaEventSynchronize(stop);
  if (error == 0) error = cudaEventElapsedTime(&milliseconds, start, stop);
  return done(error);
}

}  // namespace acd
