// cuBLASLt, opened on demand.
#pragma once

#include <cublasLt.h>

#include "backend/cuda/library_report.h"
#include "core/status.h"

namespace acd {

// The functions that we call, by their own names and types.
struct CublasLt {
  decltype(&cublasLtCreate) create;
  decltype(&cublasLtDestroy) destroy;
  decltype(&cublasLtGetVersion) get_version;
  decltype(&cublasLtGetCudartVersion) get_cudart_version;
  decltype(&cublasLtMatmul) matmul;
  decltype(&cublasLtMatmulDescCreate) desc_create;
  decltype(&cublasLtMatmulDescDestroy) desc_destroy;
  decltype(&cublasLtMatmulDescSetAttribute) desc_set;
  decltype(&cublasLtMatrixLayoutCreate) layout_create;
  decltype(&cublasLtMatrixLayoutDestroy) layout_destroy;
  decltype(&cublasLtMatrixLayoutSetAttribute) layout_set;
  decltype(&cublasLtMatmulPreferenceCreate) preference_create;
  decltype(&cublasLtMatmulPreferenceDestroy) preference_destroy;
  decltype(&cublasLtMatmulPreferenceSetAttribute) preference_set;
  decltype(&cublasLtMatmulAlgoGetHeuristic) heuristic;
  decltype(&cublasLtMatmulAlgoCheck) algo_check;
};

// The library, opened once per process; null when it cannot be used.
const CublasLt* cublas_lt();

LibraryReport cublas_lt_report();

// A sentence for a status of the library.
std::string cublas_status_text(cublasStatus_t status);

}  // namespace acd
