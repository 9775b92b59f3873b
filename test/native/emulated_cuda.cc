#include "emulated_cuda.h"

#include <cstdio>
#include <cstring>
#include <string>
#include <vector>

#include "core/aligned.h"
#include "core/half.h"
#include "cuda_emulator.h"
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

namespace acd::test {
namespace {

struct EmulatedCuda {
  int order = 1;
  std::vector<uint8_t> scratch;
  std::string error;
};

void* scratch_of(void* owner, size_t bytes) {
  auto& scratch = static_cast<EmulatedCuda*>(owner)->scratch;
  // What the last op left must not matter.
  scratch.assign(bytes + 256, 0xa5);
  const auto at = reinterpret_cast<uintptr_t>(scratch.data());
  return reinterpret_cast<void*>((at + 255) / 256 * 256);
}

template <typename Params, int (*Op)(const CudaLaunch&, const Params&)>
int entry(void* self, void*, const Params* p) {
  auto* device = static_cast<EmulatedCuda*>(self);
  try {
    set_thread_order(device->order);
    const int error = Op({nullptr, 90, 132, 227 * 1024, scratch_of, self}, *p);
    if (error == 0) return 0;
    device->error = "CUDA error " + std::to_string(error);
  } catch (const emulator::EmulatorError& e) {
    device->error = e.what();
    std::fprintf(stderr, "%s\n", e.what());
  }
  return static_cast<int>(Code::kInternal);
}

// The weights of a linear, in place of what cuBLASLt would be given.
struct HostLinear {
  std::vector<float> weight, bias;
  int64_t n, k;
  NumberType type;
  LinearWeights product() const { return {weight.data(), nullptr, n, k, type}; }
};

const HostLinear& host(const PackedLinear* packed) {
  return *reinterpret_cast<const HostLinear*>(packed);
}

bool is_half(NumberType type) { return type == NumberType::kBf16 || type == NumberType::kF16; }

// The product alone, dense rows, then the epilogue's kernel.
int linear_emulated(const CudaLaunch& cuda, const LinearParams& p) {
  const HostLinear& w = host(p.weights);
  std::vector<float> product(static_cast<size_t>(p.batch * p.rows * w.n));
  LinearParams only = {p.x, p.ldx, nullptr, product.data(), w.n, p.rows};
  only.batch = p.batch;
  only.batch_x = p.batch_x;
  only.batch_y = p.rows * w.n;
  only.x_scales = p.x_scales;
  LinearWeights weights = w.product();
  std::vector<float> x;
  if (is_half(w.type)) {
    // The same numbers in f32, which the reference need not convert at every product.
    for (int64_t r = 0; r < p.batch * p.rows; ++r) {
      const int64_t row = r / p.rows * p.batch_x + r % p.rows * p.ldx;
      for (int64_t i = 0; i < w.k; ++i) x.push_back(number_at(p.x, w.type, row + i));
    }
    only.x = x.data();
    only.ldx = w.k;
    only.batch_x = p.rows * w.k;
    weights.type = NumberType::kF32;
  }
  linear_ref(only, weights);
  cuda::LinearEpilogueArgs a = {};
  a.product = product.data();
  a.ldp = w.n;
  a.batch_product = p.rows * w.n;
  a.bias = w.bias.empty() ? nullptr : w.bias.data();
  a.y = p.y;
  a.y_type = cuda::number_of(p.y_type);
  a.ldy = p.ldy;
  a.batch_y = p.batch_y;
  a.rows = p.rows;
  a.width = w.n;
  a.batch = p.batch;
  a.act = p.act;
  a.accumulate = p.accumulate;
  return cuda::linear_epilogue(cuda.stream, a);
}

int head_emulated(const CudaLaunch& cuda, const HeadParams& p) {
  const HostLinear& w = host(p.weights);
  std::vector<float> y(static_cast<size_t>(p.batch * p.tokens * p.width));
  LinearParams product = {p.h, p.ldh, nullptr, y.data(), p.width, p.tokens};
  product.batch = p.batch;
  product.batch_x = p.batch_h;
  product.batch_y = p.tokens * p.width;
  linear_ref(product, w.product());
  cuda::HeadArgs a = cuda::head_args(p, y.data(), w.bias.empty() ? nullptr : w.bias.data());
  a.scratch = static_cast<float*>(cuda.scratch(cuda.owner, cuda::head_scratch_bytes(a)));
  return cuda::head(cuda.stream, a);
}

// Device memory starts at multiples of 256 bytes, and attention in bf16 relies on 16: the tests'
// buffers, which start behind guard words, are moved there and back.
int attention_of_tests(const CudaLaunch& cuda, const AttentionParams& p) {
  if (p.type == NumberType::kF32) return attention_cuda(cuda, p);
  const auto n = static_cast<size_t>(p.batch * p.tokens * p.heads * kHeadWidth);
  std::vector<uint16_t> qkv(3 * n), out(n);
  std::memcpy(qkv.data(), p.qkv, 3 * n * sizeof(uint16_t));
  AttentionParams moved = p;
  moved.qkv = qkv.data();
  moved.out = out.data();
  const int error = attention_cuda(cuda, moved);
  std::memcpy(p.out, out.data(), n * sizeof(uint16_t));
  return error;
}

int copy(void*, void*, void* to, const void* from, size_t bytes) {
  std::memcpy(to, from, bytes);
  return 0;
}

}  // namespace

void set_thread_order(int order) { emulator::set_order(order); }

Result<std::shared_ptr<Device>> make_emulated_cuda_device(int order) {
  auto* device = new EmulatedCuda();
  device->order = order;
  BackendTable table = {};
  table.abi_version = kAbiVersion;
  table.struct_bytes = sizeof table;
  table.name = "cuda-emulated";
  table.self = device;
  table.destroy = [](void* self) { delete static_cast<EmulatedCuda*>(self); };
  table.last_error = [](void* self) { return static_cast<EmulatedCuda*>(self)->error.c_str(); };
  table.alloc = [](void*, void*, size_t bytes, void** out) {
    *out = allocate_bytes(bytes);
    return 0;
  };
  table.release = [](void*, void*, void* memory, size_t bytes) { release_bytes(memory, bytes); };
  table.upload = copy;
  table.download = copy;
  table.synchronize = [](void*, void*) { return 0; };
  table.pack_linear = [](void*, const LinearWeights* w, PackedLinear** out) {
    auto* packed = new HostLinear{{w->weight, w->weight + w->n * w->k}, {}, w->n, w->k, w->type};
    if (w->bias) packed->bias.assign(w->bias, w->bias + w->n);
    for (float& f : packed->weight) {
      if (w->type == NumberType::kBf16) f = float_of_bf16(bf16_of_float(f));
      if (w->type == NumberType::kF16) f = float_of_f16(f16_of_float(f));
    }
    *out = reinterpret_cast<PackedLinear*>(packed);
    return 0;
  };
  table.release_linear = [](void*, PackedLinear* p) { delete reinterpret_cast<HostLinear*>(p); };
  table.linear_bytes = [](void*, const PackedLinear* packed) {
    return host(packed).weight.size() * sizeof(float);
  };
  table.linear = entry<LinearParams, linear_emulated>;
  table.layer_norm = entry<LayerNormParams, layer_norm_cuda>;
  table.attention = entry<AttentionParams, attention_of_tests>;
  table.patchify = entry<PatchifyParams, patchify_cuda>;
  table.assemble_tokens = entry<AssembleTokensParams, assemble_tokens_cuda>;
  table.gather_tokens = entry<GatherTokensParams, gather_tokens_cuda>;
  table.conv_tokens = entry<ConvTokensParams, conv_tokens_cuda>;
  table.lora_blend = entry<LoraBlendParams, lora_blend_cuda>;
  table.head = entry<HeadParams, head_emulated>;
  table.gate = entry<GateParams, gate_cuda>;
  table.fuse_map = entry<FuseMapParams, fuse_map_cuda>;
  table.preprocess = entry<PreprocessParams, preprocess_cuda>;
  table.quantize = entry<QuantizeParams, quantize_cuda>;
  table.check_precision = [](void* self, Precision precision) {
    if (precision != Precision::kInt8) return 0;
    static_cast<EmulatedCuda*>(self)->error = "CUDA has no int8";
    return static_cast<int>(Code::kUnsupported);
  };
  return Device::adopt(table);
}

}  // namespace acd::test
