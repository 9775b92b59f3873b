// What libacd_cuda.so shows to the process that opens it: plain structs and two C functions. The
// host side (backend/cuda_plugin.h) needs no CUDA header and links to no CUDA library.
#pragma once

#include <cstddef>
#include <cstdint>

#include "backend/backend.h"

namespace acd {

constexpr int kMaxCudaDevices = 16;
constexpr int kCudaLibraries = 3;

// A shared library that the backend opens on demand.
struct CudaLibraryInfo {
  char name[32];     // "NVIDIA driver", "cuBLASLt", "cuDNN"
  int32_t usable;    // found and new enough
  char version[32];  // empty when it was not found
  char path[512];    // as the loader resolved it; empty when it was not found
  char reason[512];  // why not usable, else where it came from
};

struct CudaDeviceInfo {
  int32_t index;
  int32_t usable;
  char name[128];
  int32_t capability;  // 10 * major + minor
  int32_t multiprocessors;
  uint64_t memory_bytes;
  char reason[256];  // why not usable, else what it is
};

struct CudaProbe {
  uint32_t struct_bytes;  // set by the caller
  uint32_t abi_version;
  int32_t usable;     // at least one device can be used
  char reason[512];   // why none can, else a summary
  char built[160];    // toolkit and architectures that the plugin was built with
  int32_t libraries;  // of `library`
  CudaLibraryInfo library[kCudaLibraries];
  int32_t devices;  // of `device`
  CudaDeviceInfo device[kMaxCudaDevices];
};

struct CudaOptions {
  uint32_t struct_bytes;
  int32_t device;         // index as the driver counts
  uint64_t budget_bytes;  // most device memory that this process takes; 0: all that is free
};

}  // namespace acd

// `libraries`: also open what a machine without a device would never need, to report on it. Returns
// 0, or a Code where the probe itself is impossible (another ABI).
extern "C" typedef int (*AcdCudaProbeFn)(acd::CudaProbe* probe, int libraries);
// Fills `table` for one device; on failure returns a Code and writes a sentence.
extern "C" typedef int (*AcdCudaOpenFn)(const acd::CudaOptions* options, acd::BackendTable* table,
                                        char* error, size_t error_bytes);
