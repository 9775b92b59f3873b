// What every *_cuda.cu gets: the stream to launch on, what the device is, scratch memory. No CUDA
// header here, so that the emulated tests include it too.
#pragma once

#include <cstddef>
#include <cstdint>

#include "backend/backend.h"
#include "core/status.h"

namespace acd {

struct CudaLaunch {
  void* stream;         // cudaStream_t
  int capability;       // 10 * major + minor: 80, 86, 89, 90
  int multiprocessors;  // of the device
  size_t shared_bytes;  // most dynamic shared memory that a block may be given
  // Device memory, 256-byte aligned, until the next op on this stream; null when there is none: the
  // op returns scratch_missing(). Never called twice by one op.
  void* (*scratch)(void* owner, size_t bytes);
  void* owner;
};

// What an op returns when `scratch` gave null; the context then says what was asked and free.
inline Status scratch_missing() { return Status(Code::kOutOfMemory, "device scratch memory"); }

}  // namespace acd
