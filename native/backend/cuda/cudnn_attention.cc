#include "backend/cuda/cudnn_attention.h"

#include <cuda_runtime_api.h>
#include <cudnn.h>

#include "backend/cuda/host/libraries.h"

namespace acd {
namespace {

// The first version whose attention is one operation of its graph interface.
constexpr size_t kOldest = 91300;

struct Opened {
  LibraryReport report;
};

Opened open() {
  Opened o;
  const OpenedLibrary library =
      open_library({"cuDNN", "libcudnn.so.9", {"cudnn/lib"}}, process_environ);
  if (!library.handle) {
    o.report.reason = "cuDNN 9 is not installed (" + library.failure +
                      "); install it or the Python package nvidia-cudnn-cu" +
                      std::to_string(CUDART_VERSION / 1000) +
                      ", or name the folder in ACD_CUDA_LIBRARY_PATH; without it attention runs "
                      "on our own kernel alone";
    return o;
  }
  o.report.path = library.path;
  const auto version =
      reinterpret_cast<decltype(&cudnnGetVersion)>(find_symbol(library, "cudnnGetVersion"));
  const size_t v = version ? version() : 0;
  o.report.version = version_text(v);
  if (v < kOldest) {
    o.report.reason = "cuDNN " + o.report.version + " is too old: " + version_text(kOldest) +
                      " or newer is needed; attention runs on our own kernel alone";
    return o;
  }
  o.report.usable = true;
  o.report.reason = "from " + library.origin;
  return o;
}

const Opened& opened() {
  static const Opened o = open();
  return o;
}

}  // namespace

LibraryReport cudnn_report() { return opened().report; }

}  // namespace acd
