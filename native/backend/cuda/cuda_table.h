// The backend's table: which entries this build has, over the kernels of native/ops and cuBLASLt.
#pragma once

#include <memory>
#include <string>

#include "backend/backend.h"
#include "backend/cuda/cudnn_attention.h"
#include "backend/cuda/gemm.h"
#include "backend/cuda/host/attention_choice.h"
#include "backend/cuda/host/cuda_context.h"

namespace acd {

// A device with its products and its choice of attention.
class CudaBackend : public CudaContext {
 public:
  static Result<std::unique_ptr<CudaContext>> make(const CudaRuntime& runtime,
                                                   const CudaDeviceFacts& facts,
                                                   const std::string& device_name,
                                                   uint64_t budget_bytes);
  Gemm& gemm() { return *gemm_; }
  CudnnAttention& cudnn() { return *cudnn_; }
  AttentionChoice& attention_choice() { return *attention_choice_; }

 private:
  using CudaContext::CudaContext;
  std::unique_ptr<Gemm> gemm_;
  std::unique_ptr<CudnnAttention> cudnn_;
  std::unique_ptr<AttentionChoice> attention_choice_;
};

// Every op that this build has; what CudaContext::base_table fills is left out. The entries expect
// `self` to be a CudaBackend.
BackendTable cuda_table();

// The ops of inference that the table lacks, "attention, head"; empty when it has them all.
std::string missing_kernels(const BackendTable& table);

}  // namespace acd
