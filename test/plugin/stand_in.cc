// A CUDA backend without CUDA, behind the plugin's two functions: the CPU's table, and at fp8 the
// CUDA kernels' numbers. What it is for: device 'cuda' from JavaScript down to the ops, and what
// fp8 does to maps, on a machine without a GPU (ACD_CUDA_PLUGIN names it; bench/accuracy.mjs).
//
// Fp8 as the kernels have it: rows rounded by the rule of core/number.h (quantize_cuda_test.cc holds
// kernel and reference to the same bytes), products of the codes' values summed in f32. What a GPU
// does otherwise is the order of sums, and the bias of a product in bf16.
#include <cstdio>
#include <cstring>
#include <memory>
#include <string>
#include <vector>

#include "backend/cpu/cpu_backend.h"
#include "backend/cuda/plugin.h"
#include "core/half.h"
#include "core/thread_team.h"
#include "forwarded_ops.h"

#define ACD_EXPORT extern "C" __attribute__((visibility("default")))

namespace acd {
namespace {

constexpr int kCapability = 90;

thread_local std::string t_error;

int coded(const Status& status) {
  if (!status.ok()) t_error = status.message();
  return static_cast<int>(status.code());
}

// Packed by the CPU backend; in fp8 what the codes stand for, in f32.
struct StandInLinear {
  PackedLinear* inner;
  int64_t n, k;
  bool fp8;
};

const StandInLinear& of(const PackedLinear* packed) {
  return *reinterpret_cast<const StandInLinear*>(packed);
}

struct StandIn {
  std::shared_ptr<Device> cpu;
  uint64_t budget_bytes;  // of any one allocation, 0: no limit
};

const Device& cpu(void* self) { return *static_cast<StandIn*>(self)->cpu; }

template <typename Params, Status (Device::*Op)(const Params&) const>
struct Forward {
  static int call(void* self, void*, const Params* p) { return coded((cpu(self).*Op)(*p)); }
};

int pack_linear(void* self, const LinearWeights* given, PackedLinear** out) {
  return coded(guarded([&]() -> Status {
    auto packed = std::make_unique<StandInLinear>();
    packed->n = given->n;
    packed->k = given->k;
    packed->fp8 = given->type == NumberType::kE4m3;
    LinearWeights w = *given;
    std::vector<float> values;
    if (packed->fp8) {
      std::vector<uint8_t> codes(static_cast<size_t>(w.n * w.k));
      std::vector<float> scales(static_cast<size_t>(w.n));
      e4m3_rows(w.weight, w.n, w.k, codes.data(), scales.data());
      for (size_t i = 0; i < codes.size(); ++i)
        values.push_back(float_of_e4m3(codes[i]) * scales[i / static_cast<size_t>(w.k)]);
      w.weight = values.data();
      w.type = NumberType::kF32;
    }
    ACD_RETURN_IF_ERROR(cpu(self).pack_linear(w, &packed->inner));
    *out = reinterpret_cast<PackedLinear*>(packed.release());
    return Status();
  }));
}

Status linear_fp8(const Device& device, LinearParams p, const StandInLinear& w) {
  const int64_t rows = p.batch * p.rows;
  std::vector<float> x(static_cast<size_t>(rows * w.k));
  for (int64_t r = 0; r < rows; ++r) {
    const auto* codes = static_cast<const uint8_t*>(p.x) + r * w.k;
    for (int64_t i = 0; i < w.k; ++i)
      x[static_cast<size_t>(r * w.k + i)] = p.x_scales[r] * float_of_e4m3(codes[i]);
  }
  p.x = x.data();
  if (p.y_type == NumberType::kF32) return device.linear(p);
  std::vector<float> y(static_cast<size_t>(rows * w.n));
  void* const to = p.y;
  const int64_t item = p.batch_y, ldy = p.ldy;
  const NumberType type = p.y_type;
  p.y = y.data();
  p.ldy = w.n;
  p.batch_y = p.rows * w.n;
  p.y_type = NumberType::kF32;
  ACD_RETURN_IF_ERROR(device.linear(p));
  for (int64_t r = 0; r < rows; ++r) {
    for (int64_t i = 0; i < w.n; ++i)
      put_number(to, type, r / p.rows * item + r % p.rows * ldy + i,
                 y[static_cast<size_t>(r * w.n + i)]);
  }
  return Status();
}

int linear(void* self, void*, const LinearParams* given) {
  return coded(guarded([&] {
    const StandInLinear& w = of(given->weights);
    LinearParams p = *given;
    p.weights = w.inner;
    return w.fp8 ? linear_fp8(cpu(self), p, w) : cpu(self).linear(p);
  }));
}

int head(void* self, void*, const HeadParams* given) {
  HeadParams p = *given;
  p.weights = of(p.weights).inner;
  return coded(cpu(self).head(p));
}

int layer_norm(void* self, void*, const LayerNormParams* p) {
  if (p->y_type != NumberType::kE4m3) return coded(cpu(self).layer_norm(*p));
  return coded(guarded([&]() -> Status {
    std::vector<float> y(static_cast<size_t>(p->rows * p->width));
    LayerNormParams whole = *p;
    whole.y = y.data();
    whole.ldy = p->width;
    whole.y_type = NumberType::kF32;
    ACD_RETURN_IF_ERROR(cpu(self).layer_norm(whole));
    QuantizeParams q = {y.data(), p->width, NumberType::kF32, static_cast<uint8_t*>(p->y),
                        p->ldy,   nullptr,  p->rows,          p->width};
    q.y_type = NumberType::kE4m3;
    q.y_scales = p->y_scales;
    quantize_ref(q);
    return Status();
  }));
}

int quantize(void*, void*, const QuantizeParams* p) {
  return coded(guarded([&] {
    quantize_ref(*p);
    return Status();
  }));
}

int check_precision(void* self, Precision precision) {
  const PrecisionSupport support = cuda_precision(precision, kCapability);
  if (!support.available) return coded(Status(Code::kUnsupported, support.reason));
  if (precision == Precision::kFp8) return 0;
  return coded(cpu(self).check_precision(precision));
}

BackendTable table_of(StandIn* self) {
  BackendTable t = {};
  t.abi_version = kAbiVersion;
  t.struct_bytes = sizeof t;
  t.name = "cuda:0";
  t.self = self;
  t.destroy = [](void* s) { delete static_cast<StandIn*>(s); };
  t.last_error = [](void*) { return t_error.c_str(); };
  t.alloc = [](void* s, void*, size_t bytes, void** out) {
    const uint64_t budget = static_cast<StandIn*>(s)->budget_bytes;
    if (budget > 0 && bytes > budget)
      return coded(Status(Code::kOutOfMemory, "the stand-in has no memory left"));
    return coded(cpu(s).alloc(bytes, out));
  };
  t.release = [](void* s, void*, void* memory, size_t bytes) { cpu(s).release(memory, bytes); };
  t.upload = [](void* s, void*, void* to, const void* from, size_t bytes) {
    return coded(cpu(s).upload(to, from, bytes));
  };
  t.download = [](void* s, void*, void* to, const void* from, size_t bytes) {
    return coded(cpu(s).download(to, from, bytes));
  };
  t.synchronize = [](void* s, void*) { return coded(cpu(s).synchronize()); };
  t.pack_linear = pack_linear;
  t.release_linear = [](void* s, PackedLinear* packed) {
    if (!packed) return;
    cpu(s).release_linear(of(packed).inner);
    delete reinterpret_cast<StandInLinear*>(packed);
  };
  t.linear_bytes = [](void* s, const PackedLinear* packed) {
    return cpu(s).linear_bytes(of(packed).inner);
  };
  test::forward_ops<Forward>(t);
  t.linear = linear;
  t.head = head;
  t.layer_norm = layer_norm;
  t.quantize = quantize;
  t.check_precision = check_precision;
  t.describe_choices = [](void*, char* text, size_t bytes) {
    std::snprintf(text, bytes, "every op: the CPU\n");
  };
  return t;
}

}  // namespace
}  // namespace acd

ACD_EXPORT int acd_cuda_probe(acd::CudaProbe* probe, int) {
  if (probe->struct_bytes != sizeof *probe) return static_cast<int>(acd::Code::kDeviceUnavailable);
  probe->abi_version = acd::kAbiVersion;
  probe->usable = 1;
  probe->devices = 1;
  std::snprintf(probe->reason, sizeof probe->reason, "one stand-in");
  std::snprintf(probe->built, sizeof probe->built, "a stand-in on the CPU, for tests");
  acd::CudaDeviceInfo& d = probe->device[0];
  d.index = 0;
  d.usable = 1;
  d.capability = acd::kCapability;
  std::snprintf(d.name, sizeof d.name, "stand-in on the CPU");
  std::snprintf(d.reason, sizeof d.reason, "no GPU");
  return 0;
}

ACD_EXPORT int acd_cuda_open(const acd::CudaOptions* options, acd::BackendTable* table, char* error,
                             size_t error_bytes) {
  auto device = acd::make_cpu_device(acd::available_cpus());
  if (!device.ok()) {
    std::snprintf(error, error_bytes, "%s", device.status().message().c_str());
    return static_cast<int>(device.status().code());
  }
  *table = acd::table_of(new acd::StandIn{std::move(device.value()), options->budget_bytes});
  return 0;
}
