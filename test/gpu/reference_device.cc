#include "reference_device.h"

#include <cstdlib>
#include <cstring>
#include <vector>

namespace acd {

// The host's weights as they are; linear_ref rounds them where the product's type asks for it.
struct PackedLinear {
  std::vector<float> weight, bias;
  LinearWeights of;
};

namespace test {
namespace {

int copy(void*, void*, void* to, const void* from, size_t bytes) {
  std::memcpy(to, from, bytes);
  return 0;
}

template <typename Params, void (*Ref)(const Params&)>
int entry(void*, void*, const Params* p) {
  Ref(*p);
  return 0;
}

int pack(void*, const LinearWeights* w, PackedLinear** out) {
  auto* p = new PackedLinear;
  p->weight.assign(w->weight, w->weight + w->n * w->k);
  if (w->bias) p->bias.assign(w->bias, w->bias + w->n);
  p->of = *w;
  p->of.weight = p->weight.data();
  p->of.bias = w->bias ? p->bias.data() : nullptr;
  *out = p;
  return 0;
}

}  // namespace

std::shared_ptr<Device> reference_device() {
  BackendTable t = {};
  t.abi_version = kAbiVersion;
  t.struct_bytes = sizeof t;
  t.name = "reference";
  t.destroy = [](void*) {};
  t.last_error = [](void*) { return ""; };
  t.alloc = [](void*, void*, size_t bytes, void** out) {
    *out = std::malloc(bytes);
    return 0;
  };
  t.release = [](void*, void*, void* memory, size_t) { std::free(memory); };
  t.upload = copy;
  t.download = copy;
  t.synchronize = [](void*, void*) { return 0; };
  t.check_precision = [](void*, Precision) { return 0; };
  t.pack_linear = pack;
  t.release_linear = [](void*, PackedLinear* p) { delete p; };
  t.linear_bytes = [](void*, const PackedLinear* p) { return p->weight.size() * sizeof(float); };
  t.linear = [](void*, void*, const LinearParams* p) {
    linear_ref(*p, p->weights->of);
    return 0;
  };
  t.head = [](void*, void*, const HeadParams* p) {
    head_ref(*p, p->weights->of);
    return 0;
  };
  t.layer_norm = entry<LayerNormParams, layer_norm_ref>;
  t.attention = entry<AttentionParams, attention_ref>;
  t.patchify = entry<PatchifyParams, patchify_ref>;
  t.assemble_tokens = entry<AssembleTokensParams, assemble_tokens_ref>;
  t.gather_tokens = entry<GatherTokensParams, gather_tokens_ref>;
  t.conv_tokens = entry<ConvTokensParams, conv_tokens_ref>;
  t.lora_blend = entry<LoraBlendParams, lora_blend_ref>;
  t.gate = entry<GateParams, gate_ref>;
  t.fuse_map = entry<FuseMapParams, fuse_map_ref>;
  t.quantize = entry<QuantizeParams, quantize_ref>;
  return Device::adopt(t).value();
}

}  // namespace test
}  // namespace acd
