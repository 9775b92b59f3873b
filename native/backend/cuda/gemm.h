// Products on cuBLASLt: y [rows, n] = x [rows, k] W^T, with bias, or bias and residual, in the same
// kernel where the library's epilogue can.
#pragma once

#include <cublasLt.h>

#include <map>
#include <memory>
#include <mutex>
#include <string>

#include "backend/cuda/cublas_lt.h"
#include "backend/cuda/cuda_launch.h"
#include "backend/cuda/host/algorithm_cache.h"

namespace acd {

class CudaContext;

// Weights of one linear on the device.
struct PackedLinear {
  int64_t n;
  int64_t k;
  NumberType type;
  void* weight;     // [n, k] of `type`
  float* bias;      // [n] or null
  void* bias_half;  // rounded to `type`, for products that end in it, to bf16 in fp8; null in f32
  float* scales;    // [n], in fp8
  size_t bytes;     // of all of them, one block from `weight` on
};

// One product, or a batch of equal ones.
struct Product {
  const PackedLinear* weights;
  const void* x;
  int64_t ldx;
  void* y;
  int64_t ldy;
  NumberType y_type;
  int64_t rows;
  int64_t batch;
  int64_t batch_x;
  int64_t batch_y;
  bool bias;        // add it
  bool accumulate;  // to what y holds
  // In fp8: [batch, rows], which the library multiplies with, and with those of the weights; null
  // leaves the product of the codes.
  const float* x_scales = nullptr;
};

class Gemm {
 public:
  // Bytes of workspace that run() is given.
  static constexpr size_t kWorkspaceBytes = size_t{32} << 20;

  static Result<std::unique_ptr<Gemm>> make(CudaContext& context, const std::string& device_name);
  ~Gemm();
  Gemm(const Gemm&) = delete;
  Gemm& operator=(const Gemm&) = delete;

  // On launch.stream. The first product of a shape searches for the fastest algorithm, with random
  // contents of a y of its own, and waits for it; not while a graph is captured.
  // kUnsupported: the library has none for it, now and later.
  Status run(const CudaLaunch& launch, const Product& p, void* workspace, bool may_search);

  // Whether the library can multiply a row and a column of a product in fp8 with scales of their
  // own: CUDA 12.9 on sm_90. run() still may say no for a shape.
  bool scales_rows() const;

 private:
  struct Plan;

  explicit Gemm(CudaContext& context, const CublasLt& lt) : context_(context), lt_(lt) {}
  Status plan_for(const CudaLaunch& launch, const Product& p, void* workspace, bool may_search,
                  std::shared_ptr<const Plan>& out);
  // What a plan leaves open: where bias and scales lie. Under mutex_ where there are any.
  Status point(const Plan& plan, const Product& p) const;
  Status search(const CudaLaunch& launch, const Product& p, void* workspace, Plan& plan) const;
  Status checked(cublasStatus_t status) const;
  cublasStatus_t multiply(const CudaLaunch& launch, const Plan& plan, const Product& p, void* y,
                          const cublasLtMatmulAlgo_t& algorithm, void* workspace) const;

  CudaContext& context_;
  const CublasLt& lt_;
  cublasLtHandle_t handle_ = nullptr;
  std::unique_ptr<AlgorithmCache> cache_;
  std::mutex mutex_;
  std::map<std::string, std::shared_ptr<const Plan>> plans_;
};

}  // namespace acd
