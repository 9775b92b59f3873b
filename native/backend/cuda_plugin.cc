#include "backend/cuda_plugin.h"

#include <dlfcn.h>
#include <unistd.h>

#include <cstdlib>
#include <cstring>
#include <map>
#include <mutex>

namespace acd {
namespace {

#ifndef ACD_CUDA_ABSENT
#define ACD_CUDA_ABSENT "libacd_cuda.so is not beside the addon"
#endif

struct Plugin {
  std::string path;
  std::string failure;  // why `probe` and `open` are null
  AcdCudaProbeFn probe = nullptr;
  AcdCudaOpenFn open = nullptr;
};

// Beside the library or program that this code is linked into.
std::string plugin_path() {
  if (const char* named = std::getenv("ACD_CUDA_PLUGIN")) return named;
  Dl_info info;
  if (!::dladdr(reinterpret_cast<const void*>(&cuda_state), &info) || !info.dli_fname) return "";
  std::string path = info.dli_fname;
  const size_t slash = path.rfind('/');
  path.resize(slash == std::string::npos ? 0 : slash + 1);
  // A build folder holds it one level above build/Release.
  for (const char* folder : {"", "../"}) {
    const std::string candidate = path + folder + "libacd_cuda.so";
    if (::access(candidate.c_str(), R_OK) == 0) return candidate;
  }
  return "";
}

Plugin open_plugin() {
  Plugin p;
  p.path = plugin_path();
  if (p.path.empty()) {
    p.failure = std::string("this build has no CUDA backend (") + ACD_CUDA_ABSENT + ")";
    return p;
  }
  // Never closed: neither the CUDA runtime nor cuBLASLt survives that.
  void* handle = ::dlopen(p.path.c_str(), RTLD_NOW | RTLD_LOCAL);
  if (!handle) {
    const char* why = ::dlerror();
    p.failure = std::string("the CUDA backend cannot be opened: ") + (why ? why : p.path.c_str());
    return p;
  }
  p.probe = reinterpret_cast<AcdCudaProbeFn>(::dlsym(handle, "acd_cuda_probe"));
  p.open = reinterpret_cast<AcdCudaOpenFn>(::dlsym(handle, "acd_cuda_open"));
  if (!p.probe || !p.open) p.failure = p.path + " is no CUDA backend of this package";
  return p;
}

// A backend belongs to the process, like the device's memory: worker threads and models share it.
// Models hold forks of a device, which hold the device.
struct Host {
  std::mutex mutex;
  bool opened = false;
  Plugin plugin;
  CudaState quick, full;
  bool have_quick = false, have_full = false;
  struct Opened {
    std::weak_ptr<Device> device;
    uint64_t budget_bytes = 0;
  };
  std::map<int, Opened> devices;

  const Plugin& get() {
    if (!opened) plugin = open_plugin();
    opened = true;
    return plugin;
  }
};

Host& host() {
  // Never destroyed: threads may still look at it while the process exits.
  static Host* h = new Host();
  return *h;
}

CudaState ask(const Plugin& plugin, bool libraries) {
  CudaState state = {};
  std::string failure = plugin.failure;
  if (failure.empty()) {
    state.plugin = plugin.path;
    state.probe.struct_bytes = sizeof state.probe;
    const int code = plugin.probe(&state.probe, libraries ? 1 : 0);
    if (code != 0 || state.probe.abi_version != kAbiVersion) {
      state.probe = {};
      failure = plugin.path + " belongs to another version of this package";
    }
  }
  if (!failure.empty()) {
    std::strncpy(state.probe.reason, failure.c_str(), sizeof state.probe.reason - 1);
  }
  return state;
}

}  // namespace

const CudaState& cuda_state(bool libraries) {
  Host& h = host();
  std::lock_guard<std::mutex> lock(h.mutex);
  if (libraries && !h.have_full) {
    h.full = ask(h.get(), true);
    h.have_full = true;
  }
  if (!libraries && !h.have_quick) {
    h.quick = ask(h.get(), false);
    h.have_quick = true;
  }
  return libraries ? h.full : h.quick;
}

std::vector<std::string> cuda_choices() {
  Host& h = host();
  std::vector<std::shared_ptr<Device>> alive;
  {
    std::lock_guard<std::mutex> lock(h.mutex);
    for (const auto& entry : h.devices)
      if (auto device = entry.second.device.lock()) alive.push_back(std::move(device));
  }
  std::vector<std::string> lines;
  for (const auto& device : alive) {
    for (const std::string& line : device->choices())
      lines.push_back(std::string(device->name()) + ": " + line);
  }
  return lines;
}

Result<std::shared_ptr<Device>> make_cuda_device(int index, uint64_t budget_bytes) {
  const CudaProbe& probe = cuda_state(false).probe;
  const auto unavailable = [&](const std::string& why) {
    return Status(Code::kDeviceUnavailable,
                  "Device cuda:" + std::to_string(index) + " cannot be used: " + why);
  };
  if (probe.devices == 0) return unavailable(probe.reason);
  if (index < 0 || index >= probe.devices) {
    return unavailable("there are only " + std::to_string(probe.devices) + " CUDA devices");
  }
  if (!probe.device[index].usable) return unavailable(probe.device[index].reason);
  Host& h = host();
  std::lock_guard<std::mutex> lock(h.mutex);
  Host::Opened& opened = h.devices[index];
  if (auto alive = opened.device.lock()) {
    if (budget_bytes == 0 || budget_bytes == opened.budget_bytes) return alive;
    const std::string current = opened.budget_bytes == 0
                                    ? "without one"
                                    : "with " + std::to_string(opened.budget_bytes) + " bytes";
    return Status(Code::kInvalidArg,
                  "Expected for memoryBudget what cuda:" + std::to_string(index) +
                      " was opened with, " + current + ", as it is in use, but received " +
                      std::to_string(budget_bytes));
  }
  CudaOptions options = {};
  options.struct_bytes = sizeof options;
  options.device = index;
  options.budget_bytes = budget_bytes;
  BackendTable table = {};
  char error[1024] = {};
  const int code = h.get().open(&options, &table, error, sizeof error);
  if (code != 0) return Status(static_cast<Code>(code), error);
  auto device = Device::adopt(table);
  if (device.ok()) opened = {device.value(), budget_bytes};
  return device;
}

}  // namespace acd
