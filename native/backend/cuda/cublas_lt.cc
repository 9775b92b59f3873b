#include "backend/cuda/cublas_lt.h"

#include "backend/cuda/host/libraries.h"

namespace acd {
namespace {

struct Opened {
  CublasLt functions = {};
  LibraryReport report;
};

Opened open() {
  Opened o;
  const std::string soname = "libcublasLt.so." + std::to_string(CUBLAS_VER_MAJOR);
  const OpenedLibrary library = open_library(
      {"cuBLASLt", soname, {"cu" + std::to_string(CUBLAS_VER_MAJOR) + "/lib", "cublas/lib"}},
      process_environ);
  if (!library.handle) {
    o.report.reason = "cuBLASLt " + std::to_string(CUBLAS_VER_MAJOR) + " is not installed (" +
                      library.failure +
                      "); install the CUDA toolkit or the Python package nvidia-cublas, or name "
                      "the folder in ACD_CUDA_LIBRARY_PATH";
    return o;
  }
  o.report.path = library.path;
  bool complete = true;
  const char* missing = "";
  const auto find = [&](auto& function, const char* name) {
    function = reinterpret_cast<std::decay_t<decltype(function)>>(find_symbol(library, name));
    if (!function) complete = false, missing = name;
  };
  CublasLt& f = o.functions;
  find(f.create, "cublasLtCreate");
  find(f.destroy, "cublasLtDestroy");
  find(f.get_version, "cublasLtGetVersion");
  find(f.get_cudart_version, "cublasLtGetCudartVersion");
  find(f.matmul, "cublasLtMatmul");
  find(f.desc_create, "cublasLtMatmulDescCreate");
  find(f.desc_destroy, "cublasLtMatmulDescDestroy");
  find(f.desc_set, "cublasLtMatmulDescSetAttribute");
  find(f.layout_create, "cublasLtMatrixLayoutCreate");
  find(f.layout_destroy, "cublasLtMatrixLayoutDestroy");
  find(f.layout_set, "cublasLtMatrixLayoutSetAttribute");
  find(f.preference_create, "cublasLtMatmulPreferenceCreate");
  find(f.preference_destroy, "cublasLtMatmulPreferenceDestroy");
  find(f.preference_set, "cublasLtMatmulPreferenceSetAttribute");
  find(f.heuristic, "cublasLtMatmulAlgoGetHeuristic");
  find(f.algo_check, "cublasLtMatmulAlgoCheck");
  if (f.get_version) o.report.version = version_text(f.get_version());
  if (!complete) {
    o.report.reason = library.path + " lacks " + missing + ": it is too old or damaged";
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

const CublasLt* cublas_lt() { return opened().report.usable ? &opened().functions : nullptr; }

LibraryReport cublas_lt_report() { return opened().report; }

std::string cublas_status_text(cublasStatus_t status) {
  switch (status) {
    case CUBLAS_STATUS_NOT_INITIALIZED:
      return "cuBLASLt could not be initialised";
    case CUBLAS_STATUS_ALLOC_FAILED:
      return "cuBLASLt ran out of memory";
    case CUBLAS_STATUS_ARCH_MISMATCH:
      return "cuBLASLt does not serve this device";
    case CUBLAS_STATUS_NOT_SUPPORTED:
      return "cuBLASLt does not support this product";
    case CUBLAS_STATUS_EXECUTION_FAILED:
      return "cuBLASLt's kernel failed";
    default:
      return "cuBLASLt answered " + std::to_string(static_cast<int>(status));
  }
}

}  // namespace acd
