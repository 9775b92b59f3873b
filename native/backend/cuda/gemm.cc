#include "backend/cuda/gemm.h"

#include <cuda_runtime_api.h>

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <vector>

#include "backend/cuda/host/cuda_context.h"
#include "backend/cuda/timing.h"

namespace acd {
namespace {

constexpr int kCandidates = 8;
constexpr int kTimedRuns = 5;

cudaDataType_t cuda_type(NumberType type) {
  switch (type) {
    case NumberType::kF32:
      return CUDA_R_32F;
    case NumberType::kBf16:
      return CUDA_R_16BF;
    case NumberType::kF16:
      return CUDA_R_16F;
    default:
      return CUDA_R_8F_E4M3;
  }
}

// What the library may assume of an address and of the step to the next row or item.
uint32_t alignment_of(const void* pointer, int64_t ld, int64_t item, NumberType type) {
  uint64_t bits = reinterpret_cast<uintptr_t>(pointer) |
                  static_cast<uint64_t>(ld) * bytes_of(type) |
                  static_cast<uint64_t>(item) * bytes_of(type) | 256;
  return static_cast<uint32_t>(bits & ~(bits - 1));
}

// One product of all rows where the items follow each other without a gap.
Product folded(const Product& p) {
  Product q = p;
  if (p.batch == 1 || (p.batch_x == p.rows * p.ldx && p.batch_y == p.rows * p.ldy)) {
    q.rows = p.rows * p.batch;
    q.batch = 1;
    q.batch_x = q.batch_y = 0;
  }
  return q;
}

const char* environ_of(const char* name) { return std::getenv(name); }

}  // namespace

// The library's descriptions of one product. In its column-major words the product is
// y^T [n, rows] = op(W) x^T with W [k, n] transposed and x^T [k, rows].
struct Gemm::Plan {
  explicit Plan(const CublasLt& lt) : lt(lt) {}
  ~Plan() {
    if (desc) lt.desc_destroy(desc);
    for (cublasLtMatrixLayout_t layout : {a, b, d})
      if (layout) lt.layout_destroy(layout);
  }
  Plan(const Plan&) = delete;
  Plan& operator=(const Plan&) = delete;

  const CublasLt& lt;
  cublasLtMatmulDesc_t desc = nullptr;
  cublasLtMatrixLayout_t a = nullptr, b = nullptr, d = nullptr;
  cublasLtMatmulAlgo_t algorithm = {};
  uint32_t alignment_x = 0, alignment_y = 0;
  Status refused;  // kUnsupported: the library has no algorithm for it
};

bool Gemm::scales_rows() const {
#if CUBLAS_VERSION >= 120900
  return context_.facts().capability >= 90 && lt_.get_version() >= 120900;
#else
  return false;
#endif
}

Status Gemm::point(const Plan& plan, const Product& p) const {
  const PackedLinear& w = *p.weights;
  const auto set = [&](cublasLtMatmulDescAttributes_t attribute, const void* pointer) {
    return checked(lt_.desc_set(plan.desc, attribute, &pointer, sizeof pointer));
  };
  if (p.bias) {
    // In fp8 the library takes a bias in bf16 for a result in f32, too.
    const bool whole = p.y_type == NumberType::kF32 && w.type != NumberType::kE4m3;
    ACD_RETURN_IF_ERROR(set(CUBLASLT_MATMUL_DESC_BIAS_POINTER,
                            whole ? static_cast<const void*>(w.bias) : w.bias_half));
  }
  if (p.x_scales) {
    ACD_RETURN_IF_ERROR(set(CUBLASLT_MATMUL_DESC_A_SCALE_POINTER, w.scales));
    ACD_RETURN_IF_ERROR(set(CUBLASLT_MATMUL_DESC_B_SCALE_POINTER, p.x_scales));
  }
  return Status();
}

Status Gemm::checked(cublasStatus_t status) const {
  if (status == CUBLAS_STATUS_SUCCESS) return Status();
  const int error = context_.runtime().last_error();
  if (error != 0) return context_.errors().check(error, "a product");
  const Code code = status == CUBLAS_STATUS_ALLOC_FAILED    ? Code::kOutOfMemory
                    : status == CUBLAS_STATUS_NOT_SUPPORTED ? Code::kUnsupported
                                                            : Code::kInternal;
  return Status(code, context_.name() + ": " + cublas_status_text(status));
}

Result<std::unique_ptr<Gemm>> Gemm::make(CudaContext& context, const std::string& device_name) {
  const CublasLt* lt = cublas_lt();
  if (!lt) return Status(Code::kDeviceUnavailable, cublas_lt_report().reason);
  std::unique_ptr<Gemm> gemm(new Gemm(context, *lt));
  ACD_RETURN_IF_ERROR(gemm->checked(lt->create(&gemm->handle_)));
  const std::string folder = AlgorithmCache::folder(environ_of);
  const std::string identity =
      "cuBLASLt " + std::to_string(lt->get_version()) + " on " + device_name;
  gemm->cache_ = std::make_unique<AlgorithmCache>(
      folder.empty() ? "" : folder + "/cublaslt-" + std::to_string(context.facts().index) + ".txt",
      identity);
  return gemm;
}

Gemm::~Gemm() {
  plans_.clear();
  if (handle_) lt_.destroy(handle_);
}

cublasStatus_t Gemm::multiply(const CudaLaunch& launch, const Plan& plan, const Product& p, void* y,
                              const cublasLtMatmulAlgo_t& algorithm, void* workspace) const {
  const float one = 1, zero = 0;
  return lt_.matmul(handle_, plan.desc, &one, p.weights->weight, plan.a, p.x, plan.b,
                    p.accumulate ? &one : &zero, y, plan.d, y, plan.d, &algorithm, workspace,
                    kWorkspaceBytes, static_cast<cudaStream_t>(launch.stream));
}

Status Gemm::run(const CudaLaunch& launch, const Product& given, void* workspace, bool may_search) {
  const Product p = folded(given);
  if (p.rows == 0 || p.weights->n == 0) return Status();
  std::shared_ptr<const Plan> plan;
  ACD_RETURN_IF_ERROR(plan_for(launch, p, workspace, may_search, plan));
  // The bias and the scales belong to weights and rows, the plan to the shape.
  const Plan& found = *plan;
  if (!found.refused.ok()) return found.refused;
  if (p.bias || p.x_scales) {
    std::lock_guard<std::mutex> lock(mutex_);
    ACD_RETURN_IF_ERROR(point(found, p));
    return checked(multiply(launch, found, p, p.y, found.algorithm, workspace));
  }
  return checked(multiply(launch, found, p, p.y, found.algorithm, workspace));
}

Status Gemm::plan_for(const CudaLaunch& launch, const Product& p, void* workspace, bool may_search,
                      std::shared_ptr<const Plan>& out) {
  const PackedLinear& w = *p.weights;
  const uint32_t alignment_x = alignment_of(p.x, p.ldx, p.batch_x, w.type);
  const uint32_t alignment_y = alignment_of(p.y, p.ldy, p.batch_y, p.y_type);
  std::string name;
  for (int64_t part :
       {p.rows, w.n, w.k, p.ldx, p.ldy, p.batch, p.batch_x, p.batch_y, static_cast<int64_t>(w.type),
        static_cast<int64_t>(p.y_type), int64_t{p.bias}, int64_t{p.accumulate},
        int64_t{alignment_x}, int64_t{alignment_y}, int64_t{p.x_scales != nullptr}}) {
    name += (name.empty() ? "" : "_") + std::to_string(part);
  }
  {
    std::lock_guard<std::mutex> lock(mutex_);
    const auto it = plans_.find(name);
    if (it != plans_.end()) {
      out = it->second;
      return Status();
    }
  }
  if (!may_search)
    return Status(Code::kInternal, "a graph holds a product that has not run before");
  auto plan = std::make_shared<Plan>(lt_);
  plan->alignment_x = alignment_x;
  plan->alignment_y = alignment_y;
  // f32 is exact products and sums, not TF32: the precision for parity.
  ACD_RETURN_IF_ERROR(checked(lt_.desc_create(&plan->desc, CUBLAS_COMPUTE_32F, CUDA_R_32F)));
  const auto set = [&](cublasLtMatmulDescAttributes_t attribute, const auto& value) {
    return checked(lt_.desc_set(plan->desc, attribute, &value, sizeof value));
  };
  ACD_RETURN_IF_ERROR(set(CUBLASLT_MATMUL_DESC_TRANSA, CUBLAS_OP_T));
  ACD_RETURN_IF_ERROR(set(CUBLASLT_MATMUL_DESC_TRANSB, CUBLAS_OP_N));
  if (p.bias) {
    ACD_RETURN_IF_ERROR(set(CUBLASLT_MATMUL_DESC_EPILOGUE, CUBLASLT_EPILOGUE_BIAS));
    if (w.type == NumberType::kE4m3) {
      const int32_t bias_type = CUDA_R_16BF;
      ACD_RETURN_IF_ERROR(set(CUBLASLT_MATMUL_DESC_BIAS_DATA_TYPE, bias_type));
    }
  }
#if CUBLAS_VERSION >= 120900
  if (p.x_scales) {
    const int32_t outer = CUBLASLT_MATMUL_MATRIX_SCALE_OUTER_VEC_32F;
    ACD_RETURN_IF_ERROR(set(CUBLASLT_MATMUL_DESC_A_SCALE_MODE, outer));
    ACD_RETURN_IF_ERROR(set(CUBLASLT_MATMUL_DESC_B_SCALE_MODE, outer));
  }
#endif
  ACD_RETURN_IF_ERROR(point(*plan, p));
  const auto layout = [&](cublasLtMatrixLayout_t& to, NumberType type, int64_t rows,
                          int64_t columns, int64_t ld, int64_t item) -> Status {
    ACD_RETURN_IF_ERROR(checked(lt_.layout_create(&to, cuda_type(type), static_cast<uint64_t>(rows),
                                                  static_cast<uint64_t>(columns), ld)));
    if (p.batch == 1) return Status();
    const auto count = static_cast<int32_t>(p.batch);
    ACD_RETURN_IF_ERROR(
        checked(lt_.layout_set(to, CUBLASLT_MATRIX_LAYOUT_BATCH_COUNT, &count, sizeof count)));
    return checked(
        lt_.layout_set(to, CUBLASLT_MATRIX_LAYOUT_STRIDED_BATCH_OFFSET, &item, sizeof item));
  };
  ACD_RETURN_IF_ERROR(layout(plan->a, w.type, w.k, w.n, w.k, 0));
  ACD_RETURN_IF_ERROR(layout(plan->b, w.type, w.k, p.rows, p.ldx, p.batch_x));
  ACD_RETURN_IF_ERROR(layout(plan->d, p.y_type, w.n, p.rows, p.ldy, p.batch_y));

  bool known = false;
  if (const auto words = cache_->find(name)) {
    static_assert(sizeof(AlgorithmWords) == sizeof(cublasLtMatmulAlgo_t), "kept whole");
    std::memcpy(&plan->algorithm, words->data(), sizeof plan->algorithm);
    cublasLtMatmulHeuristicResult_t answer = {};
    known = lt_.algo_check(handle_, plan->desc, plan->a, plan->b, plan->d, plan->d,
                           &plan->algorithm, &answer) == CUBLAS_STATUS_SUCCESS &&
            answer.workspaceSize <= kWorkspaceBytes;
  }
  if (!known) {
    plan->refused = search(launch, p, workspace, *plan);
    if (!plan->refused.ok() && plan->refused.code() != Code::kUnsupported) return plan->refused;
    AlgorithmWords words;
    std::memcpy(words.data(), &plan->algorithm, sizeof plan->algorithm);
    if (plan->refused.ok()) cache_->put(name, words);
  }
  std::lock_guard<std::mutex> lock(mutex_);
  out = plans_.emplace(name, std::move(plan)).first->second;
  return Status();
}

// The library's candidates, timed; the first of them where there is no memory to time in.
Status Gemm::search(const CudaLaunch& launch, const Product& p, void* workspace, Plan& plan) const {
  cublasLtMatmulPreference_t preference = nullptr;
  ACD_RETURN_IF_ERROR(checked(lt_.preference_create(&preference)));
  const auto set = [&](cublasLtMatmulPreferenceAttributes_t attribute, const auto& value) {
    return lt_.preference_set(preference, attribute, &value, sizeof value);
  };
  uint64_t workspace_bytes = kWorkspaceBytes;
  set(CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES, workspace_bytes);
  const uint32_t alignment_w = alignment_of(p.weights->weight, p.weights->k, 0, p.weights->type);
  set(CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_A_BYTES, alignment_w);
  set(CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_B_BYTES, plan.alignment_x);
  set(CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_C_BYTES, plan.alignment_y);
  set(CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_D_BYTES, plan.alignment_y);
  cublasLtMatmulHeuristicResult_t found[kCandidates] = {};
  int count = 0;
  const cublasStatus_t asked = lt_.heuristic(handle_, plan.desc, plan.a, plan.b, plan.d, plan.d,
                                             preference, kCandidates, found, &count);
  lt_.preference_destroy(preference);
  ACD_RETURN_IF_ERROR(checked(asked));
  if (count == 0) return checked(CUBLAS_STATUS_NOT_SUPPORTED);
  plan.algorithm = found[0].algo;
  if (count == 1) return Status();

  const size_t bytes =
      static_cast<size_t>((p.batch - 1) * p.batch_y + p.rows * p.ldy) * bytes_of(p.y_type);
  void* y = nullptr;
  if (!context_.pool().alloc(launch.stream, bytes, &y).ok()) return Status();
  float best = -1;
  Status status;
  for (int i = 0; i < count && status.ok(); ++i) {
    if (found[i].state != CUBLAS_STATUS_SUCCESS) continue;
    float milliseconds = 0;
    const Status timed = timed_on(
        context_, launch.stream, kTimedRuns,
        [&] { return checked(multiply(launch, plan, p, y, found[i].algo, workspace)); },
        milliseconds);
    if (timed.code() == Code::kUnsupported) continue;
    status = timed;
    if (!timed.ok() || (best >= 0 && milliseconds >= best)) continue;
    best = milliseconds;
    plan.algorithm = found[i].algo;
  }
  context_.pool().release(launch.stream, y);
  return status;
}

}  // namespace acd
