// One CUDA device of the process: its streams, memory and health, and the entries of the backend's
// table that need no kernel. Streams may be used from any threads, each by one at a time.
#pragma once

#include <memory>
#include <mutex>
#include <set>
#include <string>
#include <vector>

#include "backend/backend.h"
#include "backend/cuda/cuda_launch.h"
#include "backend/cuda/host/device_errors.h"
#include "backend/cuda/host/device_pool.h"
#include "backend/cuda/host/runtime.h"
#include "backend/cuda/host/staging.h"

namespace acd {

struct CudaDeviceFacts {
  int index = 0;
  int capability = 0;
  int multiprocessors = 0;
  size_t shared_bytes = 0;
};

class CudaContext;

// What the table's `stream` points to.
class CudaStream {
 public:
  CudaStream(CudaContext& context, void* handle);
  ~CudaStream();

  void* handle() const { return handle_; }
  std::mutex& mutex() { return mutex_; }
  Staging& staging() { return staging_; }
  // Grows with what ops ask for; null when there is no memory, and then failure() says so. What a
  // graph was given stays its own until the stream ends.
  void* scratch(size_t bytes);
  const Status& failure() const { return failure_; }
  void clear_failure() { failure_ = Status(); }
  // While a graph is captured nothing may be allocated.
  bool capturing = false;
  // Records where the stream is now; the event is the stream's.
  Status mark(void** event);

 private:
  CudaContext& context_;
  void* handle_;
  std::mutex mutex_;
  Staging staging_;
  void* scratch_ = nullptr;
  size_t scratch_bytes_ = 0;
  bool graphs_hold_scratch_ = false;
  std::vector<void*> held_by_graphs_;
  void* mark_ = nullptr;
  Status failure_;
};

class CudaContext {
 public:
  // Both tables must outlive it.
  static Result<std::unique_ptr<CudaContext>> make(const CudaRuntime& runtime,
                                                   const CudaDeviceFacts& facts,
                                                   uint64_t budget_bytes);
  virtual ~CudaContext();
  CudaContext(const CudaContext&) = delete;
  CudaContext& operator=(const CudaContext&) = delete;

  const CudaRuntime& runtime() const { return runtime_; }
  const CudaDeviceFacts& facts() const { return facts_; }
  DeviceErrors& errors() { return errors_; }
  DevicePool& pool() { return pool_; }
  const std::string& name() const { return name_; }

  Status create_stream(void** out);
  Status destroy_stream(void* stream);
  CudaStream& stream(void* stream);  // null: the one that everybody shares

  // Runs fn(launch, stream) on a stream: refuses at once when the device is lost, makes the device
  // current, and turns the runtime's last error into a Status. `fn` returns a cudaError_t.
  template <typename Fn>
  Status run(void* stream, const char* op, Fn&& fn);

  // The same for what returns a Status.
  template <typename Fn>
  Status with_stream(void* stream, Fn&& fn);

  // Fills the entries for memory, streams and graphs, `self` and `name`. The table owns the
  // context: its destroy() ends it.
  static BackendTable base_table(std::unique_ptr<CudaContext> context, BackendTable table);

 protected:
  CudaContext(const CudaRuntime& runtime, const CudaDeviceFacts& facts, uint64_t budget_bytes);
  // To be called once before anything else.
  Status start();

 private:
  const CudaRuntime& runtime_;
  const CudaDeviceFacts facts_;
  const std::string name_;
  DeviceErrors errors_;
  DevicePool pool_;
  std::mutex mutex_;  // guards streams_
  std::set<CudaStream*> streams_;
  std::unique_ptr<CudaStream> shared_;
};

// Writes the calling thread's last error for the table's last_error(); gives the code.
int coded_cuda(const Status& status);

template <typename Fn>
Status CudaContext::with_stream(void* stream_pointer, Fn&& fn) {
  ACD_RETURN_IF_ERROR(errors_.lost());
  const Status status = guarded([&]() -> Status {
    ACD_RETURN_IF_ERROR(errors_.check(runtime_.set_device(facts_.index), "choosing the device"));
    CudaStream& s = stream(stream_pointer);
    std::lock_guard<std::mutex> lock(s.mutex());
    return fn(s);
  });
  // The runtime keeps an error until it is asked; left there, the next op would be blamed.
  if (!status.ok()) runtime_.last_error();
  return status;
}

template <typename Fn>
Status CudaContext::run(void* stream_pointer, const char* op, Fn&& fn) {
  return with_stream(stream_pointer, [&](CudaStream& s) -> Status {
    const CudaLaunch launch = {
        s.handle(),
        facts_.capability,
        facts_.multiprocessors,
        facts_.shared_bytes,
        [](void* owner, size_t bytes) { return static_cast<CudaStream*>(owner)->scratch(bytes); },
        &s};
    s.clear_failure();
    int error = fn(launch, s);
    if (!s.failure().ok()) return s.failure();
    const int last = runtime_.last_error();
    if (error == 0) error = last;
    return errors_.check(error, op);
  });
}

}  // namespace acd
