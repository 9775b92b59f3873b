#include "emulated_cuda.h"

#include <cstring>
#include <string>
#include <vector>

#include "core/aligned.h"
#include "cuda_emulator.h"
#include "ops/layer_norm/layer_norm_cuda.h"

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
    emulator::set_order(device->order);
    const int error = Op({nullptr, 90, 132, 227 * 1024, scratch_of, self}, *p);
    if (error == 0) return 0;
    device->error = "CUDA error " + std::to_string(error);
  } catch (const emulator::EmulatorError& e) {
    device->error = e.what();
    std::fprintf(stderr, "%s\n", e.what());
  }
  return static_cast<int>(Code::kInternal);
}

int copy(void*, void*, void* to, const void* from, size_t bytes) {
  std::memcpy(to, from, bytes);
  return 0;
}

}  // namespace

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
  table.layer_norm = entry<LayerNormParams, layer_norm_cuda>;
  return Device::adopt(table);
}

}  // namespace acd::test
