#include "fake_cuda.h"

#include <cstdlib>
#include <cstring>
#include <mutex>

#include "backend/cuda/host/device_errors.h"

namespace acd::test {
namespace {

FakeCuda& fake() { return FakeCuda::get(); }

// Threads of several sessions come here.
std::recursive_mutex& mutex() {
  static std::recursive_mutex m;
  return m;
}
using Lock = std::lock_guard<std::recursive_mutex>;

int make_handle(const char* function, void** out) {
  const Lock lock(mutex());
  if (const int error = fake().enter(function)) return error;
  ++fake().handles_;
  *out = std::malloc(1);
  return 0;
}

int end_handle(const char* function, void* handle) {
  const Lock lock(mutex());
  --fake().handles_;
  std::free(handle);
  return fake().enter(function);
}

}  // namespace

FakeCuda& FakeCuda::get() {
  static FakeCuda cuda;
  return cuda;
}

void FakeCuda::reset(size_t capacity) {
  for (const auto& [memory, bytes] : blocks_) std::free(memory);
  *this = FakeCuda();
  capacity_ = capacity;
}

void FakeCuda::fail(const std::string& function, int error, int after) {
  faults_[function] = {calls(function) + after, error};
}

int FakeCuda::calls(const std::string& function) const {
  const auto it = calls_.find(function);
  return it == calls_.end() ? 0 : it->second;
}

int FakeCuda::enter(const char* function) {
  const Lock lock(mutex());
  const int n = calls_[function]++;
  if (sticky_) return sticky_;
  const auto it = faults_.find(function);
  if (it == faults_.end() || it->second.at != n) return 0;
  last_error_ = it->second.error;
  if (is_sticky(last_error_)) sticky_ = last_error_;
  return last_error_;
}

const CudaRuntime& FakeCuda::runtime() const {
  static const CudaRuntime table = {
      [](int) { return fake().enter("set_device"); },
      [](void** out, size_t bytes) {
        const Lock lock(mutex());
        if (const int error = fake().enter("malloc_device")) return error;
        if (fake().live_bytes_ + bytes > fake().capacity_) return fake().last_error_ = 2;
        *out = std::malloc(bytes);
        std::memset(*out, 0xa5, bytes);
        fake().blocks_[*out] = bytes;
        fake().live_bytes_ += bytes;
        return 0;
      },
      [](void* memory) {
        const Lock lock(mutex());
        const auto it = fake().blocks_.find(memory);
        if (it == fake().blocks_.end()) return 1;
        fake().live_bytes_ -= it->second;
        fake().blocks_.erase(it);
        std::free(memory);
        return fake().enter("free_device");
      },
      [](void** out, size_t bytes) {
        const Lock lock(mutex());
        if (const int error = fake().enter("malloc_pinned")) return error;
        *out = std::malloc(bytes);
        ++fake().handles_;
        return 0;
      },
      [](void* memory) { return end_handle("free_pinned", memory); },
      [](size_t* free_bytes, size_t* total_bytes) {
        const Lock lock(mutex());
        *free_bytes = fake().capacity_ - fake().live_bytes_;
        *total_bytes = fake().capacity_;
        return fake().enter("memory");
      },
      [](void* to, const void* from, size_t bytes, CopyKind, void*) {
        if (const int error = fake().enter("copy")) return error;
        std::memcpy(to, from, bytes);
        return 0;
      },
      [](void** out) { return make_handle("create_stream", out); },
      [](void* stream) { return end_handle("destroy_stream", stream); },
      [](void*) { return fake().enter("synchronize"); },
      [](void** out) { return make_handle("create_event", out); },
      [](void* event) { return end_handle("destroy_event", event); },
      [](void*, void*) { return fake().enter("record"); },
      [](void*) { return fake().enter("wait_for_event"); },
      [](void*) {
        fake().capturing_ = true;
        return fake().enter("begin_capture");
      },
      [](void*, void** graph) {
        fake().capturing_ = false;
        return make_handle("end_capture", graph);
      },
      [](void*, void*) { return fake().enter("launch_graph"); },
      [](void* graph) { return end_handle("destroy_graph", graph); },
      [] {
        const Lock lock(mutex());
        if (fake().sticky_) return fake().sticky_;
        const int error = fake().last_error_;
        fake().last_error_ = 0;
        return error;
      },
      [](int error) { return error == 700 ? "an illegal memory access" : "an error"; },
      [](void*, void*) { return fake().enter("wait_in_stream"); }};
  return table;
}

}  // namespace acd::test
