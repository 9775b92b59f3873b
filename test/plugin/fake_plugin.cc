// A libacd_cuda.so for tests of everything in front of it: two devices whose memory, streams and
// errors are the backend's own over a runtime made of the process's memory (test/native/fake_cuda.h),
// and whose ops are the CPU's. ACD_CUDA_PLUGIN names it.
#include <cstring>
#include <map>
#include <mutex>

#include "backend/cpu/cpu_backend.h"
#include "backend/cuda/host/cuda_context.h"
#include "backend/cuda/plugin.h"
#include "fake_cuda.h"
#include "forwarded_ops.h"

#define ACD_EXPORT extern "C" __attribute__((visibility("default")))

namespace acd {
namespace {

constexpr int kDevices = 2;
constexpr size_t kCapacity = size_t{1} << 30;

const std::shared_ptr<Device>& cpu() {
  static const std::shared_ptr<Device> device = make_cpu_device(2).value();
  return device;
}

CudaContext& context(void* self) { return *static_cast<CudaContext*>(self); }

template <typename Params, Status (Device::*Op)(const Params&) const>
struct Forward {
  static int call(void* self, void* stream, const Params* p) {
    return coded_cuda(context(self).with_stream(
        stream, [&](CudaStream&) -> Status { return ((*cpu()).*Op)(*p); }));
  }
};

int preprocess(void* self, void* stream, const PreprocessParams* p) {
  return coded_cuda(context(self).with_stream(stream, [&](CudaStream&) -> Status {
    std::vector<float> image(static_cast<size_t>(3 * p->size * p->size));
    ACD_RETURN_IF_ERROR(preprocess_rgb8(p->pixels, static_cast<int>(p->width),
                                        static_cast<int>(p->height), static_cast<int>(p->size),
                                        image.data()));
    return cpu()->patchify({image.data(), p->rows, 1, p->size, p->patch});
  }));
}

// What the CPU packed takes as much of the device's memory.
struct Packed {
  std::mutex mutex;
  std::map<const PackedLinear*, void*> blocks;
};
Packed& packed() {
  static Packed p;
  return p;
}

int pack(void* self, const LinearWeights* weights, PackedLinear** out) {
  CudaContext& c = context(self);
  return coded_cuda(c.with_stream(nullptr, [&](CudaStream& s) -> Status {
    PackedLinear* made = nullptr;
    ACD_RETURN_IF_ERROR(cpu()->pack_linear(*weights, &made));
    void* block = nullptr;
    const Status status = c.pool().alloc(s.handle(), cpu()->linear_bytes(made), &block);
    if (!status.ok()) {
      cpu()->release_linear(made);
      return status;
    }
    std::lock_guard<std::mutex> lock(packed().mutex);
    packed().blocks[made] = block;
    *out = made;
    return Status();
  }));
}

void release(void* self, PackedLinear* linear) {
  CudaContext& c = context(self);
  std::lock_guard<std::mutex> lock(packed().mutex);
  const auto it = packed().blocks.find(linear);
  c.pool().release(c.stream(nullptr).handle(), it->second);
  packed().blocks.erase(it);
  cpu()->release_linear(linear);
}

BackendTable ops() {
  BackendTable t = {};
  t.abi_version = kAbiVersion;
  t.struct_bytes = sizeof t;
  t.check_precision = [](void*, Precision p) {
    return coded_cuda(cpu()->check_precision(p));
  };
  t.pack_linear = pack;
  t.release_linear = release;
  t.linear_bytes = [](void*, const PackedLinear* p) { return cpu()->linear_bytes(p); };
  test::forward_ops<Forward>(t);
  t.preprocess = preprocess;
  return t;
}

}  // namespace
}  // namespace acd

ACD_EXPORT int acd_cuda_probe(acd::CudaProbe* probe, int) {
  if (!probe || probe->struct_bytes != sizeof(acd::CudaProbe))
    return static_cast<int>(acd::Code::kDeviceUnavailable);
  probe->abi_version = acd::kAbiVersion;
  probe->usable = 1;
  std::strcpy(probe->reason, "two devices that are none");
  std::strcpy(probe->built, "for tests");
  probe->devices = acd::kDevices;
  for (int i = 0; i < acd::kDevices; ++i) {
    acd::CudaDeviceInfo& d = probe->device[i];
    d.index = i;
    d.usable = 1;
    d.capability = 90;
    d.multiprocessors = 132;
    d.memory_bytes = acd::kCapacity;
    std::strcpy(d.name, "Fake GPU");
    std::strcpy(d.reason, "computes on the CPU");
  }
  return 0;
}

ACD_EXPORT int acd_cuda_open(const acd::CudaOptions* options, acd::BackendTable* table, char* error,
                             size_t error_bytes) {
  static const bool made = [] {
    acd::test::FakeCuda::get().reset(acd::kCapacity);
    return true;
  }();
  (void)made;
  auto context =
      acd::CudaContext::make(acd::test::FakeCuda::get().runtime(),
                             {options->device, 90, 132, 227 << 10}, options->budget_bytes);
  if (!context.ok()) {
    std::strncpy(error, context.status().message().c_str(), error_bytes - 1);
    return static_cast<int>(context.status().code());
  }
  *table = acd::CudaContext::base_table(std::move(context.value()), acd::ops());
  // A graph of the fake runtime does nothing.
  table->begin_graph = nullptr;
  return 0;
}
