#include "backend/cuda/cudnn_attention.h"

#include <cuda_runtime_api.h>
#include <cudnn.h>

#include <array>
#include <utility>
#include <vector>

#include "backend/cuda/host/cuda_context.h"
#include "backend/cuda/host/libraries.h"

namespace acd {
namespace {

// The first version whose attention is one operation of its graph interface.
constexpr size_t kOldest = 91300;

struct Cudnn {
  decltype(&cudnnGetVersion) get_version;
  decltype(&cudnnGetErrorString) error_string;
  decltype(&cudnnGetLastErrorString) last_error_string;
  decltype(&cudnnCreate) create;
  decltype(&cudnnDestroy) destroy;
  decltype(&cudnnSetStream) set_stream;
  decltype(&cudnnBackendCreateDescriptor) desc_create;
  decltype(&cudnnBackendDestroyDescriptor) desc_destroy;
  decltype(&cudnnBackendSetAttribute) desc_set;
  decltype(&cudnnBackendGetAttribute) desc_get;
  decltype(&cudnnBackendFinalize) desc_finalize;
  decltype(&cudnnBackendExecute) execute;
};

struct Opened {
  Cudnn functions = {};
  LibraryReport report;
};

constexpr const char* kOursAlone = "attention runs on our own kernel alone";

Opened open() {
  Opened o;
  const OpenedLibrary library =
      open_library({"cuDNN", "libcudnn.so.9", {"cudnn/lib"}}, process_environ);
  if (!library.handle) {
    o.report.reason = "cuDNN 9 is not installed (" + library.failure +
                      "); install it or the Python package nvidia-cudnn-cu" +
                      std::to_string(CUDART_VERSION / 1000) +
                      ", or name the folder in ACD_CUDA_LIBRARY_PATH; without it " + kOursAlone;
    return o;
  }
  o.report.path = library.path;
  const char* missing = nullptr;
  const auto find = [&](auto& function, const char* name) {
    function = reinterpret_cast<std::decay_t<decltype(function)>>(find_symbol(library, name));
    if (!function) missing = name;
  };
  Cudnn& f = o.functions;
  find(f.get_version, "cudnnGetVersion");
  find(f.error_string, "cudnnGetErrorString");
  find(f.last_error_string, "cudnnGetLastErrorString");
  find(f.create, "cudnnCreate");
  find(f.destroy, "cudnnDestroy");
  find(f.set_stream, "cudnnSetStream");
  find(f.desc_create, "cudnnBackendCreateDescriptor");
  find(f.desc_destroy, "cudnnBackendDestroyDescriptor");
  find(f.desc_set, "cudnnBackendSetAttribute");
  find(f.desc_get, "cudnnBackendGetAttribute");
  find(f.desc_finalize, "cudnnBackendFinalize");
  find(f.execute, "cudnnBackendExecute");
  const size_t v = f.get_version ? f.get_version() : 0;
  o.report.version = version_text(v);
  if (v < kOldest) {
    o.report.reason = "cuDNN " + o.report.version + " is too old: " + version_text(kOldest) +
                      " or newer is needed; " + kOursAlone;
    return o;
  }
  if (missing) {
    o.report.reason = library.path + " lacks " + missing + ": it is damaged; " + kOursAlone;
    return o;
  }
#if CUDNN_VERSION < 91300
  o.report.reason = "this build had headers of cuDNN " + version_text(CUDNN_VERSION) + ", and " +
                    version_text(kOldest) + " or newer is needed; " + kOursAlone;
  return o;
#endif
  o.report.usable = true;
  o.report.reason = "from " + library.origin;
  return o;
}

const Opened& opened() {
  static const Opened o = open();
  return o;
}

Status refused(const Cudnn& f, cudnnStatus_t status, const char* step) {
  char more[256] = {};
  f.last_error_string(more, sizeof more);
  const Code code = status == CUDNN_STATUS_ALLOC_FAILED ? Code::kOutOfMemory : Code::kUnsupported;
  return Status(code, std::string("cuDNN: ") + step + ": " + f.error_string(status) +
                          (more[0] ? std::string(", ") + more : ""));
}

// A descriptor of cuDNN's that ends with this object.
class Descriptor {
 public:
  Descriptor() = default;
  ~Descriptor() {
    if (desc_) f_->desc_destroy(desc_);
  }
  Descriptor(Descriptor&& o) noexcept { *this = std::move(o); }
  Descriptor& operator=(Descriptor&& o) noexcept {
    std::swap(f_, o.f_);
    std::swap(desc_, o.desc_);
    std::swap(status_, o.status_);
    return *this;
  }

  Descriptor(const Cudnn& f, cudnnBackendDescriptorType_t type) : f_(&f) {
    status_ = f.desc_create(type, &desc_);
    if (status_ != CUDNN_STATUS_SUCCESS) desc_ = nullptr;
  }
  // The first failure stays, and finish() tells it.
  Descriptor& set(cudnnBackendAttributeName_t name, cudnnBackendAttributeType_t type, int64_t count,
                  const void* values) {
    if (status_ == CUDNN_STATUS_SUCCESS) status_ = f_->desc_set(desc_, name, type, count, values);
    return *this;
  }
  Descriptor& set(cudnnBackendAttributeName_t name, const Descriptor& other) {
    if (status_ == CUDNN_STATUS_SUCCESS) status_ = other.status_;
    return set(name, CUDNN_TYPE_BACKEND_DESCRIPTOR, 1, &other.desc_);
  }
  Status finish(const char* step) {
    if (status_ == CUDNN_STATUS_SUCCESS) status_ = f_->desc_finalize(desc_);
    return status_ == CUDNN_STATUS_SUCCESS ? Status() : refused(*f_, status_, step);
  }
  cudnnBackendDescriptor_t get() const { return desc_; }

 private:
  const Cudnn* f_ = nullptr;
  cudnnBackendDescriptor_t desc_ = nullptr;
  cudnnStatus_t status_ = CUDNN_STATUS_SUCCESS;
};

// The tensors of the graph by their numbers in it.
enum Tensor : int64_t { kQ = 1, kK, kV, kOut, kScale };

std::string name_of(const AttentionParams& p) {
  return std::to_string(p.batch) + "x" + std::to_string(p.tokens) + "x" + std::to_string(p.heads) +
         (p.type == NumberType::kBf16 ? "b" : "h");
}

// [batch, heads, tokens, 64] in place: a token's row is `row` elements long.
Descriptor tensor(const Cudnn& f, Tensor id, const AttentionParams& p, int64_t row) {
  const int64_t dims[] = {p.batch, p.heads, p.tokens, kHeadWidth};
  const int64_t strides[] = {p.tokens * row, kHeadWidth, row, 1};
  const int64_t alignment = 16, number = id;
  const cudnnDataType_t type = p.type == NumberType::kBf16 ? CUDNN_DATA_BFLOAT16 : CUDNN_DATA_HALF;
  Descriptor d(f, CUDNN_BACKEND_TENSOR_DESCRIPTOR);
  d.set(CUDNN_ATTR_TENSOR_DATA_TYPE, CUDNN_TYPE_DATA_TYPE, 1, &type)
      .set(CUDNN_ATTR_TENSOR_DIMENSIONS, CUDNN_TYPE_INT64, 4, dims)
      .set(CUDNN_ATTR_TENSOR_STRIDES, CUDNN_TYPE_INT64, 4, strides)
      .set(CUDNN_ATTR_TENSOR_UNIQUE_ID, CUDNN_TYPE_INT64, 1, &number)
      .set(CUDNN_ATTR_TENSOR_BYTE_ALIGNMENT, CUDNN_TYPE_INT64, 1, &alignment);
  return d;
}

// One float in host memory, given with each call.
Descriptor scalar(const Cudnn& f, Tensor id) {
  const int64_t ones[] = {1, 1, 1, 1}, alignment = 4, number = id;
  const cudnnDataType_t type = CUDNN_DATA_FLOAT;
  const bool by_value = true;
  Descriptor d(f, CUDNN_BACKEND_TENSOR_DESCRIPTOR);
  d.set(CUDNN_ATTR_TENSOR_DATA_TYPE, CUDNN_TYPE_DATA_TYPE, 1, &type)
      .set(CUDNN_ATTR_TENSOR_DIMENSIONS, CUDNN_TYPE_INT64, 4, ones)
      .set(CUDNN_ATTR_TENSOR_STRIDES, CUDNN_TYPE_INT64, 4, ones)
      .set(CUDNN_ATTR_TENSOR_UNIQUE_ID, CUDNN_TYPE_INT64, 1, &number)
      .set(CUDNN_ATTR_TENSOR_BYTE_ALIGNMENT, CUDNN_TYPE_INT64, 1, &alignment)
      .set(CUDNN_ATTR_TENSOR_IS_BY_VALUE, CUDNN_TYPE_BOOLEAN, 1, &by_value);
  return d;
}

}  // namespace

struct CudnnAttention::State {
  const Cudnn& f;
  cudnnHandle_t handle = nullptr;
  explicit State(const Cudnn& f) : f(f) {}
  ~State() {
    if (handle) f.destroy(handle);
  }
  State(const State&) = delete;
  State& operator=(const State&) = delete;
};

// Destroyed before the handle: plans_ comes after state_.
struct CudnnAttention::Plan {
  Descriptor plan;
  int64_t workspace_bytes = 0;
};

CudnnAttention::CudnnAttention(CudaContext& context) : context_(context) {}
CudnnAttention::~CudnnAttention() = default;

const CudnnAttention::Plan* CudnnAttention::find(const AttentionParams& p) const {
  const auto it = plans_.find(name_of(p));
  return it == plans_.end() ? nullptr : it->second.get();
}

size_t CudnnAttention::workspace_bytes(const AttentionParams& p) const {
  std::lock_guard<std::mutex> lock(mutex_);
  const Plan* plan = find(p);
  return plan ? static_cast<size_t>(plan->workspace_bytes) : 0;
}

Status CudnnAttention::prepare(const AttentionParams& p) {
  if (p.type != NumberType::kBf16 && p.type != NumberType::kF16)
    return Status(Code::kUnsupported, "cuDNN's attention is in bf16 and f16 alone");
  if (p.causal)
    return Status(Code::kUnsupported, "cuDNN's attention in one operation has no causal mask");
  if (!opened().report.usable) return Status(Code::kUnsupported, opened().report.reason);
  std::lock_guard<std::mutex> lock(mutex_);
  if (find(p)) return Status();
  if (!state_) {
    auto state = std::make_unique<State>(opened().functions);
    const cudnnStatus_t status = state->f.create(&state->handle);
    if (status != CUDNN_STATUS_SUCCESS) return refused(state->f, status, "starting it");
    state_ = std::move(state);
  }
  auto plan = std::make_unique<Plan>();
  ACD_RETURN_IF_ERROR(build(p, *plan));
  plans_.emplace(name_of(p), std::move(plan));
  return Status();
}

#if CUDNN_VERSION >= 91300
#pragma GCC diagnostic push
// The handles of graph and plan are deprecated for a descriptor that versions before 9.8 lack.
#pragma GCC diagnostic ignored "-Wdeprecated-declarations"
Status CudnnAttention::build(const AttentionParams& p, Plan& out) const {
  const Cudnn& f = state_->f;
  const int64_t width = p.heads * kHeadWidth;
  Descriptor q = tensor(f, kQ, p, 3 * width), k = tensor(f, kK, p, 3 * width);
  Descriptor v = tensor(f, kV, p, 3 * width), o = tensor(f, kOut, p, width);
  Descriptor scale = scalar(f, kScale);
  for (Descriptor* d : {&q, &k, &v, &o, &scale}) ACD_RETURN_IF_ERROR(d->finish("a tensor"));
  Descriptor attend(f, CUDNN_BACKEND_OPERATION_SDPA_FWD_DESCRIPTOR);
  attend.set(CUDNN_ATTR_OPERATION_SDPA_FWD_QDESC, q)
      .set(CUDNN_ATTR_OPERATION_SDPA_FWD_KDESC, k)
      .set(CUDNN_ATTR_OPERATION_SDPA_FWD_VDESC, v)
      .set(CUDNN_ATTR_OPERATION_SDPA_FWD_ODESC, o)
      .set(CUDNN_ATTR_OPERATION_SDPA_FWD_SCALEDESC, scale);
  ACD_RETURN_IF_ERROR(attend.finish("attention"));
  Descriptor graph(f, CUDNN_BACKEND_OPERATIONGRAPH_DESCRIPTOR);
  graph.set(CUDNN_ATTR_OPERATIONGRAPH_HANDLE, CUDNN_TYPE_HANDLE, 1, &state_->handle)
      .set(CUDNN_ATTR_OPERATIONGRAPH_OPS, attend);
  ACD_RETURN_IF_ERROR(graph.finish("a graph of attention"));

  // Its own ranking, and where that is empty what works at all.
  Status last(Code::kUnsupported, "cuDNN: it has no engine for this attention");
  for (cudnnBackendHeurMode_t mode : {CUDNN_HEUR_MODE_A, CUDNN_HEUR_MODE_FALLBACK}) {
    Descriptor ranking(f, CUDNN_BACKEND_ENGINEHEUR_DESCRIPTOR);
    ranking.set(CUDNN_ATTR_ENGINEHEUR_OPERATION_GRAPH, graph)
        .set(CUDNN_ATTR_ENGINEHEUR_MODE, CUDNN_TYPE_HEUR_MODE, 1, &mode);
    const Status ranked = ranking.finish("ranking engines");
    if (!ranked.ok()) {
      last = ranked;
      continue;
    }
    constexpr int64_t kMost = 8;
    std::vector<Descriptor> configs;
    std::vector<cudnnBackendDescriptor_t> raw;
    for (int64_t i = 0; i < kMost; ++i) {
      configs.emplace_back(f, CUDNN_BACKEND_ENGINECFG_DESCRIPTOR);
      if (!configs.back().get()) return Status(Code::kOutOfMemory, "cuDNN: an engine's settings");
      raw.push_back(configs.back().get());
    }
    int64_t count = 0;
    const cudnnStatus_t asked =
        f.desc_get(ranking.get(), CUDNN_ATTR_ENGINEHEUR_RESULTS, CUDNN_TYPE_BACKEND_DESCRIPTOR,
                   kMost, &count, raw.data());
    if (asked != CUDNN_STATUS_SUCCESS) {
      last = refused(f, asked, "the ranked engines");
      continue;
    }
    for (int64_t i = 0; i < count && i < kMost; ++i) {
      Descriptor plan(f, CUDNN_BACKEND_EXECUTION_PLAN_DESCRIPTOR);
      plan.set(CUDNN_ATTR_EXECUTION_PLAN_HANDLE, CUDNN_TYPE_HANDLE, 1, &state_->handle)
          .set(CUDNN_ATTR_EXECUTION_PLAN_ENGINE_CONFIG, configs[static_cast<size_t>(i)]);
      const Status made = plan.finish("a plan of attention");
      if (!made.ok()) {
        last = made;
        continue;
      }
      int64_t bytes = 0, got = 0;
      const cudnnStatus_t sized = f.desc_get(plan.get(), CUDNN_ATTR_EXECUTION_PLAN_WORKSPACE_SIZE,
                                             CUDNN_TYPE_INT64, 1, &got, &bytes);
      if (sized != CUDNN_STATUS_SUCCESS) {
        last = refused(f, sized, "a plan's workspace");
        continue;
      }
      out.plan = std::move(plan);
      out.workspace_bytes = bytes;
      return Status();
    }
  }
  return last;
}
#pragma GCC diagnostic pop
#else
Status CudnnAttention::build(const AttentionParams&, Plan&) const {
  return Status(Code::kUnsupported, opened().report.reason);
}
#endif

Status CudnnAttention::run(const CudaLaunch& launch, const AttentionParams& p, void* workspace) {
  std::lock_guard<std::mutex> lock(mutex_);
  const Plan* plan = find(p);
  if (!plan) return Status(Code::kInternal, "an attention of cuDNN's that was not prepared");
  const Cudnn& f = state_->f;
  const auto width = static_cast<size_t>(p.heads * kHeadWidth) * bytes_of(p.type);
  // Of inputs too the library takes pointers that are not const.
  auto* qkv = static_cast<uint8_t*>(const_cast<void*>(p.qkv));
  float scale = 0.125f;
  const int64_t ids[] = {kQ, kK, kV, kOut, kScale};
  void* pointers[] = {qkv, qkv + width, qkv + 2 * width, p.out, &scale};
  Descriptor pack(f, CUDNN_BACKEND_VARIANT_PACK_DESCRIPTOR);
  pack.set(CUDNN_ATTR_VARIANT_PACK_UNIQUE_IDS, CUDNN_TYPE_INT64, 5, ids)
      .set(CUDNN_ATTR_VARIANT_PACK_DATA_POINTERS, CUDNN_TYPE_VOID_PTR, 5, pointers)
      .set(CUDNN_ATTR_VARIANT_PACK_WORKSPACE, CUDNN_TYPE_VOID_PTR, 1, &workspace);
  ACD_RETURN_IF_ERROR(pack.finish("the pointers of attention"));
  cudnnStatus_t status = f.set_stream(state_->handle, static_cast<cudaStream_t>(launch.stream));
  if (status == CUDNN_STATUS_SUCCESS)
    status = f.execute(state_->handle, plan->plan.get(), pack.get());
  if (status == CUDNN_STATUS_SUCCESS) return Status();
  const int error = context_.runtime().last_error();
  if (error != 0) return context_.errors().check(error, "cuDNN's attention");
  return refused(f, status, "attention");
}

LibraryReport cudnn_report() { return opened().report; }

}  // namespace acd
