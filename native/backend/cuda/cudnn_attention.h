// cuDNN, opened on demand, for its fused attention: the alternative to our own kernel.
#pragma once

#include <map>
#include <memory>
#include <mutex>
#include <string>

#include "backend/cuda/cuda_launch.h"
#include "backend/cuda/library_report.h"
#include "core/status.h"
#include "ops/attention/attention.h"

namespace acd {

class CudaContext;

LibraryReport cudnn_report();

// Attention in bf16 and f16 without a mask, as the one operation that cuDNN 9.13 and newer have in
// their graph interface. A plan a shape, built once.
class CudnnAttention {
 public:
  explicit CudnnAttention(CudaContext& context);
  ~CudnnAttention();
  CudnnAttention(const CudnnAttention&) = delete;
  CudnnAttention& operator=(const CudnnAttention&) = delete;

  // Makes cuDNN's plan for a shape. kUnsupported where there is none, with cuDNN's own words.
  Status prepare(const AttentionParams& p);
  // Bytes of workspace that run() of a prepared shape needs.
  size_t workspace_bytes(const AttentionParams& p) const;
  // On launch.stream; the shape was prepared.
  Status run(const CudaLaunch& launch, const AttentionParams& p, void* workspace);

 private:
  struct Plan;
  struct State;  // cuDNN's handle and functions

  Status build(const AttentionParams& p, Plan& plan) const;
  const Plan* find(const AttentionParams& p) const;

  CudaContext& context_;
  mutable std::mutex mutex_;  // the handle serves one stream at a time
  std::unique_ptr<State> state_;
  std::map<std::string, std::unique_ptr<Plan>> plans_;
};

}  // namespace acd
