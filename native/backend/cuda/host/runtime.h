// The CUDA runtime as a table of functions, so that memory, streams and errors are tested on
// machines without a GPU and with failures injected. Types are CUDA's by shape: an error is a
// cudaError_t, a stream a cudaStream_t, an event a cudaEvent_t, a graph a cudaGraphExec_t.
#pragma once

#include <cstddef>

namespace acd {

enum class CopyKind { kUpload, kDownload, kInside };

struct CudaRuntime {
  int (*set_device)(int index);
  int (*malloc_device)(void** out, size_t bytes);
  int (*free_device)(void* memory);
  int (*malloc_pinned)(void** out, size_t bytes);
  int (*free_pinned)(void* memory);
  int (*memory)(size_t* free_bytes, size_t* total_bytes);
  int (*copy)(void* to, const void* from, size_t bytes, CopyKind kind, void* stream);
  int (*create_stream)(void** out);
  int (*destroy_stream)(void* stream);
  int (*synchronize)(void* stream);
  int (*create_event)(void** out);
  int (*destroy_event)(void* event);
  int (*record)(void* event, void* stream);
  int (*wait_for_event)(void* event);
  int (*begin_capture)(void* stream);
  int (*end_capture)(void* stream, void** graph);  // null graph: the capture was broken
  int (*launch_graph)(void* graph, void* stream);
  int (*destroy_graph)(void* graph);
  int (*last_error)();  // and clears it, unless it is sticky
  const char* (*error_text)(int error);
  int (*wait_in_stream)(void* stream, void* event);  // the stream waits, the caller does not
};

}  // namespace acd
