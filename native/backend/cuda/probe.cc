#include "backend/cuda/probe.h"

#include <cublasLt.h>
#include <cuda_runtime_api.h>

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <string>

#include "backend/cuda/cublas_lt.h"
#include "backend/cuda/cuda_table.h"
#include "backend/cuda/cudnn_attention.h"
#include "backend/cuda/host/libraries.h"

namespace acd {

void put_text(char* to, size_t bytes, const char* text) {
  const size_t n = std::min(std::strlen(text), bytes - 1);
  std::memcpy(to, text, n);
  to[n] = '\0';
}

namespace {

template <size_t N>
void put(char (&to)[N], const std::string& text) {
  put_text(to, N, text.c_str());
}

const char* environ_of(const char* name) { return std::getenv(name); }

// 13010 -> "13.1"
std::string cuda_version(int v) {
  return std::to_string(v / 1000) + "." + std::to_string(v % 1000 / 10);
}

// The driver, asked before the runtime, which only says that there is none.
bool probe_driver(CudaLibraryInfo& info) {
  put(info.name, "NVIDIA driver");
  const OpenedLibrary driver = open_library({"NVIDIA driver", "libcuda.so.1", {}}, environ_of);
  if (!driver.handle) {
    put(info.reason, "the NVIDIA driver is not installed (" + driver.failure + ")");
    return false;
  }
  put(info.path, driver.path);
  const auto version = reinterpret_cast<int (*)(int*)>(find_symbol(driver, "cuDriverGetVersion"));
  int v = 0;
  if (!version || version(&v) != 0) {
    put(info.reason, "the NVIDIA driver does not tell its version");
    return false;
  }
  put(info.version, "for CUDA " + cuda_version(v));
  // Within a major version an older driver runs a newer toolkit's programs.
  if (v / 1000 < CUDART_VERSION / 1000) {
    put(info.reason, "the NVIDIA driver is too old: it serves CUDA " + cuda_version(v) +
                         ", this backend needs " + std::to_string(CUDART_VERSION / 1000) +
                         ".0 or newer; update the driver");
    return false;
  }
  put(info.reason, "from " + driver.origin);
  return true;
}

void probe_library(CudaLibraryInfo& info, const char* name, const LibraryReport& report) {
  put(info.name, name);
  info.usable = report.usable;
  put(info.version, report.version);
  put(info.path, report.path);
  put(info.reason, report.reason);
}

void probe_device(int index, CudaDeviceInfo& info) {
  info.index = index;
  cudaDeviceProp prop;
  const cudaError_t error = cudaGetDeviceProperties(&prop, index);
  if (error != cudaSuccess) {
    put(info.name, "CUDA device");
    put(info.reason, std::string("its properties cannot be read: ") + cudaGetErrorString(error));
    cudaGetLastError();
    return;
  }
  put(info.name, prop.name);
  info.capability = 10 * prop.major + prop.minor;
  info.multiprocessors = prop.multiProcessorCount;
  info.memory_bytes = prop.totalGlobalMem;
  const std::string capability = std::to_string(prop.major) + "." + std::to_string(prop.minor);
  if (info.capability < 80) {
    put(info.reason, "compute capability " + capability + " is too old: 8.0 or newer is needed");
    return;
  }
  const std::string missing = missing_kernels(cuda_table());
  if (!missing.empty()) {
    put(info.reason, "this build has no CUDA kernels for " + missing);
    return;
  }
  info.usable = 1;
  put(info.reason, "compute capability " + capability + ", " +
                       std::to_string(prop.multiProcessorCount) + " multiprocessors, " +
                       std::to_string(prop.totalGlobalMem >> 20) + " MiB");
}

// Why nothing can be used, from the first thing that fails.
void conclude(CudaProbe& probe) {
  for (int i = 0; i < probe.libraries; ++i) {
    // Attention has a kernel of its own; cuDNN is the alternative.
    if (probe.library[i].usable || std::strcmp(probe.library[i].name, "cuDNN") == 0) continue;
    put(probe.reason, probe.library[i].reason);
    for (int d = 0; d < probe.devices; ++d) {
      probe.device[d].usable = 0;
      put(probe.device[d].reason, probe.library[i].reason);
    }
    return;
  }
  int usable = 0;
  for (int i = 0; i < probe.devices; ++i) usable += probe.device[i].usable;
  probe.usable = usable > 0;
  if (usable > 0) {
    put(probe.reason, std::to_string(usable) + " of " + std::to_string(probe.devices) +
                          " CUDA devices can be used");
  } else if (probe.devices > 0) {
    put(probe.reason, probe.device[0].reason);
  }
}

}  // namespace

void probe_cuda(CudaProbe& probe, bool libraries) {
  const uint32_t bytes = probe.struct_bytes;
  probe = CudaProbe{};
  probe.struct_bytes = bytes;
  probe.abi_version = kAbiVersion;
  put(probe.built,
      "CUDA " + cuda_version(CUDART_VERSION) + ", kernels for " ACD_CUDA_ARCHITECTURES);
  const bool driver = probe_driver(probe.library[0]);
  probe.library[0].usable = driver;
  probe.libraries = 1;
  if (driver) {
    int count = 0;
    const cudaError_t error = cudaGetDeviceCount(&count);
    if (error != cudaSuccess || count == 0) {
      put(probe.reason,
          std::string("the driver shows no CUDA device") +
              (error == cudaSuccess ? "" : std::string(": ") + cudaGetErrorString(error)));
      cudaGetLastError();
    }
    probe.devices = std::min(error == cudaSuccess ? count : 0, kMaxCudaDevices);
    for (int i = 0; i < probe.devices; ++i) probe_device(i, probe.device[i]);
  }
  if (libraries || probe.devices > 0) {
    probe_library(probe.library[1], "cuBLASLt", cublas_lt_report());
    probe_library(probe.library[2], "cuDNN", cudnn_report());
    probe.libraries = kCudaLibraries;
  }
  conclude(probe);
}

}  // namespace acd
