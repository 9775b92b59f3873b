#include "backend/cpu/cpu_backend.h"

#include <cstdlib>
#include <cstring>
#include <memory>
#include <string>

#include "backend/cpu/cpu_context.h"
#include "backend/cpu/isa.h"

namespace acd {
namespace {

// Of the calling thread: two models may fail at once.
thread_local std::string t_last_error;

CpuContext& context(void* self) { return *static_cast<CpuContext*>(self); }

int coded_status(const Status& status) {
  if (!status.ok()) t_last_error = status.message();
  return static_cast<int>(status.code());
}

template <typename Fn>
int coded(Fn&& fn) noexcept {
  return coded_status(guarded([&]() -> Status {
    try {
      fn();
      return Status();
    } catch (const dnnl::error& e) {
      return Status(e.status == dnnl_out_of_memory ? Code::kOutOfMemory : Code::kInternal,
                    std::string("oneDNN: ") + e.what());
    }
  }));
}

template <typename Params, void (*Op)(CpuContext&, const Params&)>
int entry(void* self, void*, const Params* p) {
  return coded([&] { Op(context(self), *p); });
}

void destroy(void* self) { delete &context(self); }

const char* last_error(void*) { return t_last_error.c_str(); }

int alloc(void*, void*, size_t bytes, void** out) {
  return coded([&] { *out = allocate_bytes(bytes); });
}

void release(void*, void*, void* memory, size_t bytes) { release_bytes(memory, bytes); }

int copy(void*, void*, void* to, const void* from, size_t bytes) {
  std::memcpy(to, from, bytes);
  return 0;
}

int synchronize(void*, void*) { return 0; }

Status checked_precision(Precision precision) {
  const PrecisionSupport support = cpu_precision(precision);
  if (support.available) return Status();
  return Status(Code::kUnsupported, std::string("Precision ") + precision_name(precision) +
                                        " cannot be used on the CPU: " + support.reason);
}

int check_precision(void*, Precision precision) {
  return coded_status(guarded([&] { return checked_precision(precision); }));
}

// What multiplies numbers of a type, where this level does.
template <typename Fn>
int typed(NumberType type, Fn&& fn) noexcept {
  if (type == NumberType::kBf16 && !has_bf16()) return check_precision(nullptr, Precision::kBf16);
  if (type == NumberType::kInt8 && !has_int8()) return check_precision(nullptr, Precision::kInt8);
  if (type == NumberType::kF16) return check_precision(nullptr, Precision::kFp16);
  if (type == NumberType::kE4m3) return check_precision(nullptr, Precision::kFp8);
  return coded(fn);
}

int attention(void* self, void*, const AttentionParams* p) {
  return typed(p->type, [&] { attention_cpu(context(self), *p); });
}

int layer_norm(void* self, void*, const LayerNormParams* p) {
  if (p->y_type == NumberType::kF16) return check_precision(nullptr, Precision::kFp16);
  if (p->y_type == NumberType::kE4m3) return check_precision(nullptr, Precision::kFp8);
  return coded([&] { layer_norm_cpu(context(self), *p); });
}

int quantize(void* self, void*, const QuantizeParams* p) {
  return typed(p->y_type == NumberType::kE4m3 ? p->y_type : NumberType::kF32,
               [&] { quantize_cpu(context(self), *p); });
}

int pack_linear(void* self, const LinearWeights* weights, PackedLinear** out) {
  return typed(weights->type,
               [&] { *out = new PackedLinear(pack_linear_cpu(context(self), *weights)); });
}

void release_linear(void*, PackedLinear* packed) { delete packed; }

size_t linear_bytes(void*, const PackedLinear* packed) { return packed->bytes(); }

}  // namespace

PrecisionSupport cpu_precision(Precision precision) {
  switch (precision) {
    case Precision::kFp32:
      return {true, "every processor computes in it"};
    case Precision::kBf16:
      return {has_bf16(), bf16_reason()};
    case Precision::kFp16:
      return {false, "processors multiply bf16 in its place; only CUDA has fp16"};
    case Precision::kInt8:
      return {has_int8(), int8_reason()};
    case Precision::kFp8:
      return {false, "processors multiply int8 in its place; only CUDA has fp8"};
  }
  return {false, ""};
}

Result<std::shared_ptr<Device>> make_cpu_device(int threads) {
  ACD_RETURN_IF_ERROR(select_isa_from_environment());
  const int allowed = available_cpus();
  BackendTable table = {};
  table.abi_version = kAbiVersion;
  table.struct_bytes = sizeof table;
  table.name = "cpu";
  table.self = new CpuContext(threads > 0 ? threads : allowed);
  table.destroy = destroy;
  table.last_error = last_error;
  table.check_precision = check_precision;
  table.alloc = alloc;
  table.release = release;
  table.upload = copy;
  table.download = copy;
  table.synchronize = synchronize;
  table.pack_linear = pack_linear;
  table.release_linear = release_linear;
  table.linear_bytes = linear_bytes;
  table.linear = entry<LinearParams, linear_cpu>;
  table.layer_norm = layer_norm;
  table.attention = attention;
  table.patchify = entry<PatchifyParams, patchify_cpu>;
  table.assemble_tokens = entry<AssembleTokensParams, assemble_tokens_cpu>;
  table.gather_tokens = entry<GatherTokensParams, gather_tokens_cpu>;
  table.conv_tokens = entry<ConvTokensParams, conv_tokens_cpu>;
  table.lora_blend = entry<LoraBlendParams, lora_blend_cpu>;
  table.head = entry<HeadParams, head_cpu>;
  table.gate = entry<GateParams, gate_cpu>;
  table.fuse_map = entry<FuseMapParams, fuse_map_cpu>;
  table.quantize = quantize;
  table.rounds_to_bf16 = has_bf16();
  return Device::adopt(table);
}

}  // namespace acd
