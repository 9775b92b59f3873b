#include "backend/cuda/cuda_table.h"

#include <algorithm>
#include <cmath>
#include <functional>
#include <vector>

#include "backend/cuda/host/libraries.h"
#include "backend/cuda/timing.h"
#include "core/half.h"
#include "ops/assemble_tokens/assemble_tokens_cuda.h"
#include "ops/attention/attention_cuda.h"
#include "ops/conv_tokens/conv_tokens_cuda.h"
#include "ops/fuse_map/fuse_map_cuda.h"
#include "ops/gate/gate_cuda.h"
#include "ops/gather_tokens/gather_tokens_cuda.h"
#include "ops/head/head_cuda.h"
#include "ops/layer_norm/layer_norm_cuda.h"
#include "ops/linear/linear_cuda.h"
#include "ops/lora_blend/lora_blend_cuda.h"
#include "ops/patchify/patchify_cuda.h"
#include "ops/preprocess/preprocess_cuda.h"
#include "ops/quantize/quantize_cuda.h"

namespace acd {
namespace {

constexpr size_t kAlignment = 256;
constexpr int kAttentionRevision = 1;  // rises when our kernel gets faster: old choices are void
constexpr int64_t kFp8Multiple = 16;   // of cuBLASLt's, for both extents of fp8 weights

CudaBackend& backend(void* self) {
  return *static_cast<CudaBackend*>(static_cast<CudaContext*>(self));
}

size_t aligned(size_t bytes) { return (bytes + kAlignment - 1) / kAlignment * kAlignment; }

#define ACD_CUDA_ENTRY(op, Params)                                                                \
  table.op = [](void* self, void* stream, const Params* p) {                                      \
    return coded_cuda(backend(self).run(stream, #op, [&](const CudaLaunch& launch, CudaStream&) { \
      return op##_cuda(launch, *p);                                                               \
    }));                                                                                          \
  }

// ------------------------------------------------------------------------------- products

Status pack(CudaBackend& cuda, const LinearWeights& w, PackedLinear** out) {
  if (w.type == NumberType::kInt8)
    return Status(Code::kUnsupported, "the CUDA backend has no products of int8");
  const bool fp8 = w.type == NumberType::kE4m3;
  if (fp8 && (w.n % kFp8Multiple != 0 || w.k % kFp8Multiple != 0))
    return Status(Code::kUnsupported, "products in fp8 have extents that are multiples of 16");
  const auto weights = static_cast<size_t>(w.n * w.k);
  const size_t weight_bytes = aligned(weights * bytes_of(w.type));
  const size_t bias_bytes = w.bias ? aligned(static_cast<size_t>(w.n) * sizeof(float)) : 0;
  const bool rounded = w.bias && w.type != NumberType::kF32;
  auto packed = std::make_unique<PackedLinear>();
  packed->n = w.n;
  packed->k = w.k;
  packed->type = w.type;
  const size_t scale_bytes = fp8 ? aligned(static_cast<size_t>(w.n) * sizeof(float)) : 0;
  packed->bytes = weight_bytes + bias_bytes + (rounded ? bias_bytes : 0) + scale_bytes;
  ACD_RETURN_IF_ERROR(cuda.with_stream(nullptr, [&](CudaStream& s) -> Status {
    void* memory = nullptr;
    ACD_RETURN_IF_ERROR(cuda.pool().alloc(s.handle(), packed->bytes, &memory));
    packed->weight = memory;
    auto* end = static_cast<uint8_t*>(memory) + weight_bytes;
    packed->bias = w.bias ? reinterpret_cast<float*>(end) : nullptr;
    packed->bias_half = rounded ? end + bias_bytes : nullptr;
    packed->scales =
        fp8 ? reinterpret_cast<float*>(static_cast<uint8_t*>(memory) + packed->bytes - scale_bytes)
            : nullptr;
    const auto upload = [&](void* to, const void* from, size_t bytes) {
      return s.staging().upload(s.handle(), to, from, bytes);
    };
    const auto upload_half = [&](void* to, const float* from, size_t n) {
      const NumberType type = fp8 ? NumberType::kBf16 : w.type;
      std::vector<uint16_t> half(n);
      for (size_t i = 0; i < n; ++i)
        put_number(half.data(), type, static_cast<int64_t>(i), from[i]);
      return upload(to, half.data(), n * sizeof(uint16_t));
    };
    const auto upload_fp8 = [&]() -> Status {
      std::vector<uint8_t> codes(weights);
      std::vector<float> scales(static_cast<size_t>(w.n));
      e4m3_rows(w.weight, w.n, w.k, codes.data(), scales.data());
      ACD_RETURN_IF_ERROR(upload(packed->weight, codes.data(), weights));
      return upload(packed->scales, scales.data(), scales.size() * sizeof(float));
    };
    Status status = w.type == NumberType::kF32
                        ? upload(packed->weight, w.weight, weights * sizeof(float))
                    : fp8 ? upload_fp8()
                          : upload_half(packed->weight, w.weight, weights);
    const auto n = static_cast<size_t>(w.n);
    if (status.ok() && packed->bias) status = upload(packed->bias, w.bias, n * sizeof(float));
    if (status.ok() && rounded) status = upload_half(packed->bias_half, w.bias, n);
    // Other streams read weights without asking.
    if (status.ok())
      status = cuda.errors().check(cuda.runtime().synchronize(s.handle()), "packing weights");
    if (!status.ok()) cuda.pool().release(s.handle(), memory);
    return status;
  }));
  *out = packed.release();
  return Status();
}

cuda::LinearEpilogueArgs epilogue_of(const LinearParams& p, const void* product, int64_t ldp,
                                     int64_t batch_product, NumberType product_type) {
  cuda::LinearEpilogueArgs a = {};
  a.product = product;
  a.ldp = ldp;
  a.batch_product = batch_product;
  a.product_type = cuda::number_of(product_type);
  a.bias = p.weights->bias;
  a.y = p.y;
  a.ldy = p.ldy;
  a.batch_y = p.batch_y;
  a.y_type = cuda::number_of(p.y_type);
  a.rows = p.rows;
  a.width = p.weights->n;
  a.batch = p.batch;
  a.act = p.act;
  return a;
}

// Fp8 where the library takes one scale a matrix alone (sm_89), or none for this shape: the codes'
// product in f32, item by item so that it stays in the cache, then scales and all the rest in the
// epilogue. One scale for a whole matrix would make a picture depend on its batch.
Status linear_scaled_after(CudaBackend& cuda, const CudaLaunch& launch, CudaStream& s,
                           const LinearParams& p) {
  const PackedLinear& w = *p.weights;
  const size_t product_bytes = static_cast<size_t>(p.rows * w.n) * sizeof(float);
  auto* memory =
      static_cast<uint8_t*>(launch.scratch(launch.owner, Gemm::kWorkspaceBytes + product_bytes));
  if (!memory) return scratch_missing();
  uint8_t* codes = memory + Gemm::kWorkspaceBytes;
  for (int64_t item = 0; item < p.batch; ++item) {
    const Product product = {&w,     static_cast<const uint8_t*>(p.x) + item * p.batch_x,
                             p.ldx,  codes,
                             w.n,    NumberType::kF32,
                             p.rows, 1,
                             0,      0,
                             false,  false};
    ACD_RETURN_IF_ERROR(cuda.gemm().run(launch, product, memory, !s.capturing));
    cuda::LinearEpilogueArgs a = epilogue_of(p, codes, w.n, 0, NumberType::kF32);
    a.y = static_cast<uint8_t*>(p.y) + item * p.batch_y * static_cast<int64_t>(bytes_of(p.y_type));
    a.batch = 1;
    a.accumulate = p.accumulate;
    a.row_scales = p.x_scales + item * p.rows;
    a.column_scales = w.scales;
    ACD_RETURN_IF_ERROR(
        cuda.errors().check(cuda::linear_epilogue(launch.stream, a), "scales of a product"));
  }
  return Status();
}

// The bias and the residual ride with the product; cuBLASLt's GELU is the tanh form, so
// activations, which come with the bias, are a kernel of ours over y in place.
Status linear(CudaBackend& cuda, const CudaLaunch& launch, CudaStream& s, const LinearParams& p) {
  const PackedLinear& w = *p.weights;
  const bool fp8 = w.type == NumberType::kE4m3;
  if (fp8 && (p.ldx != w.k || (p.batch > 1 && p.batch_x != p.rows * w.k)))
    return Status(Code::kUnsupported, "products in fp8 have dense rows and items");
  if (fp8 && !cuda.gemm().scales_rows()) return linear_scaled_after(cuda, launch, s, p);
  if (p.y_type != NumberType::kF32 && p.y_type != (fp8 ? NumberType::kBf16 : w.type))
    return Status(Code::kUnsupported,
                  "a product that ends in neither f32 nor its own type has no CUDA kernel");
  void* workspace = launch.scratch(launch.owner, Gemm::kWorkspaceBytes);
  if (!workspace) return scratch_missing();
  const bool activated = p.act != Activation::kNone;
  const Product product = {&w,
                           p.x,
                           p.ldx,
                           p.y,
                           p.ldy,
                           p.y_type,
                           p.rows,
                           p.batch,
                           p.batch_x,
                           p.batch_y,
                           w.bias && !activated,
                           p.accumulate,
                           p.x_scales};
  const Status multiplied = cuda.gemm().run(launch, product, workspace, !s.capturing);
  if (fp8 && multiplied.code() == Code::kUnsupported) {
    return linear_scaled_after(cuda, launch, s, p);
  }
  if (!multiplied.ok() || !activated) return multiplied;
  const cuda::LinearEpilogueArgs a = epilogue_of(p, p.y, p.ldy, p.batch_y, p.y_type);
  return cuda.errors().check(cuda::linear_epilogue(launch.stream, a), "an activation");
}

// ------------------------------------------------------------------------------ attention

constexpr int kTimedRuns = 5;
// Of the largest value: two kernels that round the weights of the keys at other places.
constexpr double kAttentionAgreesBf16 = 0x1p-6, kAttentionAgreesF16 = 0x1p-9;

// Compares the first item, which both kernels write to p.out.
Status same_attention(CudaBackend& cuda, CudaStream& s, const AttentionParams& p,
                      const std::function<Status()>& ours, const std::function<Status()>& theirs) {
  const int64_t n = p.tokens * p.heads * kHeadWidth;
  std::vector<uint16_t> a(static_cast<size_t>(n)), b(a.size());
  const auto result = [&](const std::function<Status()>& run, std::vector<uint16_t>& to) -> Status {
    ACD_RETURN_IF_ERROR(run());
    return s.staging().download(s.handle(), to.data(), p.out, to.size() * sizeof(uint16_t));
  };
  ACD_RETURN_IF_ERROR(result(ours, a));
  ACD_RETURN_IF_ERROR(result(theirs, b));
  double worst = 0, largest = 0;
  for (int64_t i = 0; i < n; ++i) {
    const double x = number_at(a.data(), p.type, i), y = number_at(b.data(), p.type, i);
    const double difference = std::fabs(x - y);
    worst = difference <= worst ? worst : difference;  // a NaN stays
    largest = std::max(largest, std::fabs(x));
  }
  const double allowed = p.type == NumberType::kBf16 ? kAttentionAgreesBf16 : kAttentionAgreesF16;
  if (worst <= allowed * largest) return Status();
  return Status(Code::kUnsupported, cuda.name() + ": cuDNN's attention differs from ours by " +
                                        std::to_string(worst) + " where the largest value is " +
                                        std::to_string(largest));
}

// Ours or cuDNN's, whichever is faster for the shape; f32 is ours alone.
Status attention(CudaBackend& cuda, const CudaLaunch& launch, CudaStream& s,
                 const AttentionParams& p) {
  const auto ours = [&] { return cuda.errors().check(attention_cuda(launch, p), "attention"); };
  if (p.type == NumberType::kF32 || p.batch * p.tokens * p.heads == 0) return ours();
  CudnnAttention& cudnn = cuda.cudnn();
  const auto theirs = [&]() -> Status {
    const size_t bytes = cudnn.workspace_bytes(p);
    void* workspace = bytes > 0 ? launch.scratch(launch.owner, bytes) : nullptr;
    if (bytes > 0 && !workspace) return scratch_missing();
    return cudnn.run(launch, p, workspace);
  };
  const AttentionChoice::Contest contest = {
      [&]() -> Status {
        const Status prepared = cudnn.prepare(p);
        // What it tried in vain must not be the next op's error.
        const int left = prepared.ok() ? 0 : cuda.runtime().last_error();
        return is_sticky(left) ? cuda.errors().check(left, "cuDNN's attention") : prepared;
      },
      [&] { return same_attention(cuda, s, p, ours, theirs); },
      [&](AttentionKernel kernel, float& milliseconds) {
        const std::function<Status()> run =
            kernel == AttentionKernel::kCudnn ? std::function<Status()>(theirs) : ours;
        return timed_on(cuda, launch.stream, kTimedRuns, run, milliseconds);
      }};
  const auto kernel = cuda.attention_choice().choose(p, !s.capturing, contest);
  if (!kernel.ok()) return kernel.status();
  s.clear_failure();  // of workspace that cuDNN did not get: ours needs none
  return kernel.value() == AttentionKernel::kCudnn ? theirs() : ours();
}

Status head(CudaBackend& cuda, const CudaLaunch& launch, CudaStream& s, const HeadParams& p) {
  const PackedLinear& w = *p.weights;
  cuda::HeadArgs a = cuda::head_args(p, nullptr, w.bias);
  if (p.width > cuda::kMaxHeadWidth)
    return Status(Code::kUnsupported, "heads wider than 1536 have no CUDA kernel");
  const size_t y_bytes = aligned(static_cast<size_t>(p.batch * p.tokens * p.width) * sizeof(float));
  auto* memory = static_cast<uint8_t*>(
      launch.scratch(launch.owner, Gemm::kWorkspaceBytes + y_bytes + cuda::head_scratch_bytes(a)));
  if (!memory) return scratch_missing();
  uint8_t* y = memory + Gemm::kWorkspaceBytes;
  const Product product = {&w,       p.h,     p.ldh,     y,         p.width, NumberType::kF32,
                           p.tokens, p.batch, p.batch_h, a.batch_y, false,   false};
  ACD_RETURN_IF_ERROR(cuda.gemm().run(launch, product, memory, !s.capturing));
  a.y = y;
  a.scratch = reinterpret_cast<float*>(y + y_bytes);
  return cuda.errors().check(cuda::head(launch.stream, a), "head");
}

// An op that fails with a Status of its own.
template <typename Params,
          Status (*Op)(CudaBackend&, const CudaLaunch&, CudaStream&, const Params&)>
int status_entry(void* self, void* stream, const Params* p) {
  CudaBackend& cuda = backend(self);
  Status own;
  const Status status = cuda.run(stream, "a product", [&](const CudaLaunch& launch, CudaStream& s) {
    own = Op(cuda, launch, s, *p);
    return 0;
  });
  return coded_cuda(status.ok() ? own : status);
}

}  // namespace

Result<std::unique_ptr<CudaContext>> CudaBackend::make(const CudaRuntime& runtime,
                                                       const CudaDeviceFacts& facts,
                                                       const std::string& device_name,
                                                       uint64_t budget_bytes) {
  std::unique_ptr<CudaBackend> backend(new CudaBackend(runtime, facts, budget_bytes));
  ACD_RETURN_IF_ERROR(backend->start());
  auto gemm = Gemm::make(*backend, device_name);
  if (!gemm.ok()) return gemm.status();
  backend->gemm_ = std::move(gemm.value());
  backend->cudnn_ = std::make_unique<CudnnAttention>(*backend);
  const std::string folder = AlgorithmCache::folder(process_environ);
  backend->attention_choice_ = std::make_unique<AttentionChoice>(
      folder.empty() ? "" : folder + "/attention-" + std::to_string(facts.index) + ".txt",
      "cuDNN " + cudnn_report().version + " on " + device_name + ", our kernel " +
          std::to_string(kAttentionRevision),
      attention_wish(process_environ));
  return std::unique_ptr<CudaContext>(std::move(backend));
}

BackendTable cuda_table() {
  BackendTable table = {};
  table.abi_version = kAbiVersion;
  table.struct_bytes = sizeof table;
  table.check_precision = [](void* self, Precision precision) {
    const PrecisionSupport support = cuda_precision(precision, backend(self).facts().capability);
    if (support.available) return 0;
    return coded_cuda(Status(Code::kUnsupported, std::string("Precision ") +
                                                     precision_name(precision) +
                                                     " cannot be used on CUDA: " + support.reason));
  };
  table.pack_linear = [](void* self, const LinearWeights* weights, PackedLinear** out) {
    return coded_cuda(pack(backend(self), *weights, out));
  };
  table.release_linear = [](void* self, PackedLinear* packed) {
    if (!packed) return;
    CudaBackend& cuda = backend(self);
    cuda.pool().release(cuda.stream(nullptr).handle(), packed->weight);
    delete packed;
  };
  table.linear_bytes = [](void*, const PackedLinear* packed) { return packed->bytes; };
  table.describe_choices = [](void* self, char* text, size_t bytes) {
    std::string lines;
    for (const std::string& line : backend(self).attention_choice().report()) lines += line + "\n";
    if (bytes > 0) text[lines.copy(text, bytes - 1)] = '\0';
  };
  table.linear = status_entry<LinearParams, linear>;
  table.head = status_entry<HeadParams, head>;
  ACD_CUDA_ENTRY(layer_norm, LayerNormParams);
  table.attention = status_entry<AttentionParams, attention>;
  ACD_CUDA_ENTRY(patchify, PatchifyParams);
  ACD_CUDA_ENTRY(assemble_tokens, AssembleTokensParams);
  ACD_CUDA_ENTRY(gather_tokens, GatherTokensParams);
  ACD_CUDA_ENTRY(conv_tokens, ConvTokensParams);
  ACD_CUDA_ENTRY(lora_blend, LoraBlendParams);
  ACD_CUDA_ENTRY(gate, GateParams);
  ACD_CUDA_ENTRY(fuse_map, FuseMapParams);
  ACD_CUDA_ENTRY(preprocess, PreprocessParams);
  ACD_CUDA_ENTRY(quantize, QuantizeParams);
  return table;
}

std::string missing_kernels(const BackendTable& table) {
  std::string missing;
  const auto need = [&](bool there, const char* op) {
    if (there) return;
    if (!missing.empty()) missing += ", ";
    missing += op;
  };
  need(table.linear, "linear");
  need(table.layer_norm, "layer_norm");
  need(table.attention, "attention");
  need(table.patchify, "patchify");
  need(table.assemble_tokens, "assemble_tokens");
  need(table.gather_tokens, "gather_tokens");
  need(table.conv_tokens, "conv_tokens");
  need(table.lora_blend, "lora_blend");
  need(table.head, "head");
  need(table.gate, "gate");
  need(table.fuse_map, "fuse_map");
  need(table.preprocess, "preprocess");
  need(table.quantize, "quantize");
  return missing;
}

}  // namespace acd
