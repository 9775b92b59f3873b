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

template <typename Fn>
int coded(Fn&& fn) noexcept {
  const Status status = guarded([&]() -> Status {
    try {
      fn();
      return Status();
    } catch (const dnnl::error& e) {
      return Status(e.status == dnnl_out_of_memory ? Code::kOutOfMemory : Code::kInternal,
                    std::string("oneDNN: ") + e.what());
    }
  });
  if (!status.ok()) t_last_error = status.message();
  return static_cast<int>(status.code());
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

int pack_linear(void* self, const LinearWeights* weights, PackedLinear** out) {
  return coded([&] { *out = new PackedLinear(context(self).gemm().pack(*weights)); });
}

void release_linear(void*, PackedLinear* packed) { delete packed; }

size_t linear_bytes(void*, const PackedLinear* packed) { return packed->bytes(); }

}  // namespace

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
  table.alloc = alloc;
  table.release = release;
  table.upload = copy;
  table.download = copy;
  table.synchronize = synchronize;
  table.pack_linear = pack_linear;
  table.release_linear = release_linear;
  table.linear_bytes = linear_bytes;
  table.linear = entry<LinearParams, linear_cpu>;
  table.layer_norm = entry<LayerNormParams, layer_norm_cpu>;
  table.attention = entry<AttentionParams, attention_cpu>;
  table.patchify = entry<PatchifyParams, patchify_cpu>;
  table.assemble_tokens = entry<AssembleTokensParams, assemble_tokens_cpu>;
  table.gather_tokens = entry<GatherTokensParams, gather_tokens_cpu>;
  table.conv_tokens = entry<ConvTokensParams, conv_tokens_cpu>;
  table.lora_blend = entry<LoraBlendParams, lora_blend_cpu>;
  table.head = entry<HeadParams, head_cpu>;
  table.gate = entry<GateParams, gate_cpu>;
  table.fuse_map = entry<FuseMapParams, fuse_map_cpu>;
  return Device::adopt(table);
}

}  // namespace acd
