#include "backend/cuda/runtime_cudart.h"

#include <cuda_runtime_api.h>

namespace acd {
namespace {

cudaStream_t stream_of(void* stream) { return static_cast<cudaStream_t>(stream); }
cudaEvent_t event_of(void* event) { return static_cast<cudaEvent_t>(event); }
cudaGraphExec_t graph_of(void* graph) { return static_cast<cudaGraphExec_t>(graph); }

cudaMemcpyKind kind_of(CopyKind kind) {
  switch (kind) {
    case CopyKind::kUpload:
      return cudaMemcpyHostToDevice;
    case CopyKind::kDownload:
      return cudaMemcpyDeviceToHost;
    case CopyKind::kInside:
      return cudaMemcpyDeviceToDevice;
  }
  return cudaMemcpyDefault;
}

int create_stream(void** out) {
  cudaStream_t stream = nullptr;
  // Not the legacy stream's prisoner: sessions run beside each other.
  const cudaError_t error = cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking);
  *out = stream;
  return error;
}

int create_event(void** out) {
  cudaEvent_t event = nullptr;
  const cudaError_t error = cudaEventCreateWithFlags(&event, cudaEventDisableTiming);
  *out = event;
  return error;
}

// Of this thread alone: another model may allocate meanwhile.
int begin_capture(void* stream) {
  return cudaStreamBeginCapture(stream_of(stream), cudaStreamCaptureModeThreadLocal);
}

int end_capture(void* stream, void** out) {
  *out = nullptr;
  cudaGraph_t graph = nullptr;
  cudaError_t error = cudaStreamEndCapture(stream_of(stream), &graph);
  if (error != cudaSuccess || !graph) return error;
  cudaGraphExec_t exec = nullptr;
  error = cudaGraphInstantiate(&exec, graph, 0);
  cudaGraphDestroy(graph);
  if (error == cudaSuccess) *out = exec;
  return error;
}

}  // namespace

const CudaRuntime& cudart_runtime() {
  static const CudaRuntime runtime = {
      [](int index) -> int { return cudaSetDevice(index); },
      [](void** out, size_t bytes) -> int { return cudaMalloc(out, bytes); },
      [](void* memory) -> int { return cudaFree(memory); },
      [](void** out, size_t bytes) -> int { return cudaMallocHost(out, bytes); },
      [](void* memory) -> int { return cudaFreeHost(memory); },
      [](size_t* free_bytes, size_t* total_bytes) -> int {
        return cudaMemGetInfo(free_bytes, total_bytes);
      },
      [](void* to, const void* from, size_t bytes, CopyKind kind, void* stream) -> int {
        return cudaMemcpyAsync(to, from, bytes, kind_of(kind), stream_of(stream));
      },
      create_stream,
      [](void* stream) -> int { return cudaStreamDestroy(stream_of(stream)); },
      [](void* stream) -> int { return cudaStreamSynchronize(stream_of(stream)); },
      create_event,
      [](void* event) -> int { return cudaEventDestroy(event_of(event)); },
      [](void* event, void* stream) -> int {
        return cudaEventRecord(event_of(event), stream_of(stream));
      },
      [](void* event) -> int { return cudaEventSynchronize(event_of(event)); },
      begin_capture,
      end_capture,
      [](void* graph, void* stream) -> int {
        return cudaGraphLaunch(graph_of(graph), stream_of(stream));
      },
      [](void* graph) -> int { return cudaGraphExecDestroy(graph_of(graph)); },
      []() -> int { return cudaGetLastError(); },
      [](int error) { return cudaGetErrorString(static_cast<cudaError_t>(error)); },
      [](void* stream, void* event) -> int {
        return cudaStreamWaitEvent(stream_of(stream), event_of(event), 0);
      }};
  return runtime;
}

}  // namespace acd
