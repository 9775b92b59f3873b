#include "backend/cuda/host/cuda_context.h"

#include <algorithm>
#include <utility>

namespace acd {
namespace {

// Of the calling thread: two models may fail at once.
thread_local std::string t_last_error;

CudaContext& context(void* self) { return *static_cast<CudaContext*>(self); }

}  // namespace

int coded_cuda(const Status& status) {
  if (!status.ok()) t_last_error = status.message();
  return static_cast<int>(status.code());
}

CudaStream::CudaStream(CudaContext& context, void* handle)
    : context_(context), handle_(handle), staging_(context.runtime(), context.errors()) {}

CudaStream::~CudaStream() {
  context_.runtime().synchronize(handle_);
  context_.pool().release(handle_, scratch_);
  for (void* memory : held_by_graphs_) context_.pool().release(handle_, memory);
  context_.pool().forget_stream(handle_);
  if (mark_) context_.runtime().destroy_event(mark_);
}

Status CudaStream::mark(void** event) {
  const CudaRuntime& runtime = context_.runtime();
  if (!mark_)
    ACD_RETURN_IF_ERROR(context_.errors().check(runtime.create_event(&mark_), "making an event"));
  *event = mark_;
  return context_.errors().check(runtime.record(mark_, handle_), "recording an event");
}

void* CudaStream::scratch(size_t bytes) {
  if (bytes <= scratch_bytes_) {
    graphs_hold_scratch_ |= capturing;
    return scratch_;
  }
  if (capturing) {
    failure_ = Status(Code::kInternal, "an op asked for more scratch memory than in its first run");
    return nullptr;
  }
  if (std::exchange(graphs_hold_scratch_, false)) {
    held_by_graphs_.push_back(scratch_);
  } else {
    // Free as soon as what runs now is done, which the stream's order sees to.
    context_.pool().release(handle_, scratch_);
  }
  scratch_ = nullptr;
  scratch_bytes_ = 0;
  failure_ = context_.pool().alloc(handle_, bytes, &scratch_);
  if (failure_.ok()) scratch_bytes_ = bytes;
  return scratch_;
}

CudaContext::CudaContext(const CudaRuntime& runtime, const CudaDeviceFacts& facts,
                         uint64_t budget_bytes)
    : runtime_(runtime),
      facts_(facts),
      name_("cuda:" + std::to_string(facts.index)),
      errors_(name_, runtime.error_text),
      pool_(runtime, errors_, name_, budget_bytes) {}

Result<std::unique_ptr<CudaContext>> CudaContext::make(const CudaRuntime& runtime,
                                                       const CudaDeviceFacts& facts,
                                                       uint64_t budget_bytes) {
  std::unique_ptr<CudaContext> c(new CudaContext(runtime, facts, budget_bytes));
  ACD_RETURN_IF_ERROR(c->start());
  return c;
}

Status CudaContext::start() {
  ACD_RETURN_IF_ERROR(errors_.check(runtime_.set_device(facts_.index), "choosing the device"));
  void* handle = nullptr;
  ACD_RETURN_IF_ERROR(errors_.check(runtime_.create_stream(&handle), "making a stream"));
  shared_ = std::make_unique<CudaStream>(*this, handle);
  return Status();
}

CudaContext::~CudaContext() {
  runtime_.set_device(facts_.index);
  for (CudaStream* s : streams_) {
    void* handle = s->handle();
    delete s;
    runtime_.destroy_stream(handle);
  }
  if (shared_) {
    void* handle = shared_->handle();
    shared_.reset();
    runtime_.destroy_stream(handle);
  }
}

Status CudaContext::create_stream(void** out) {
  ACD_RETURN_IF_ERROR(errors_.lost());
  ACD_RETURN_IF_ERROR(errors_.check(runtime_.set_device(facts_.index), "choosing the device"));
  void* handle = nullptr;
  ACD_RETURN_IF_ERROR(errors_.check(runtime_.create_stream(&handle), "making a stream"));
  auto* s = new CudaStream(*this, handle);
  std::lock_guard<std::mutex> lock(mutex_);
  streams_.insert(s);
  *out = s;
  return Status();
}

Status CudaContext::destroy_stream(void* stream) {
  auto* s = static_cast<CudaStream*>(stream);
  {
    std::lock_guard<std::mutex> lock(mutex_);
    if (streams_.erase(s) == 0) return Status();
  }
  runtime_.set_device(facts_.index);
  void* handle = s->handle();
  delete s;
  return errors_.check(runtime_.destroy_stream(handle), "ending a stream");
}

CudaStream& CudaContext::stream(void* stream) {
  return stream ? *static_cast<CudaStream*>(stream) : *shared_;
}

BackendTable CudaContext::base_table(std::unique_ptr<CudaContext> owned, BackendTable table) {
  table.name = owned->name().c_str();
  table.self = owned.release();
  table.destroy = [](void* self) { delete &context(self); };
  table.last_error = [](void*) { return t_last_error.c_str(); };
  table.alloc = [](void* self, void* stream, size_t bytes, void** out) {
    return coded_cuda(context(self).with_stream(
        stream, [&](CudaStream& s) { return context(self).pool().alloc(s.handle(), bytes, out); }));
  };
  // Also of a device that is lost: the pool only writes it down.
  table.release = [](void* self, void* stream, void* memory, size_t) {
    CudaContext& c = context(self);
    c.pool().release(c.stream(stream).handle(), memory);
  };
  table.upload = [](void* self, void* stream, void* device, const void* host, size_t bytes) {
    return coded_cuda(context(self).with_stream(stream, [&](CudaStream& s) {
      return s.staging().upload(s.handle(), device, host, bytes);
    }));
  };
  table.download = [](void* self, void* stream, void* host, const void* device, size_t bytes) {
    return coded_cuda(context(self).with_stream(stream, [&](CudaStream& s) {
      return s.staging().download(s.handle(), host, device, bytes);
    }));
  };
  table.synchronize = [](void* self, void* stream) {
    CudaContext& c = context(self);
    return coded_cuda(c.with_stream(stream, [&](CudaStream& s) {
      return c.errors().check(c.runtime().synchronize(s.handle()), "waiting for a stream");
    }));
  };
  table.wait_for = [](void* self, void* stream, void* other) {
    CudaContext& c = context(self);
    void* event = nullptr;
    const Status marked = c.with_stream(other, [&](CudaStream& s) { return s.mark(&event); });
    if (!marked.ok()) return coded_cuda(marked);
    return coded_cuda(c.with_stream(stream, [&](CudaStream& s) {
      return c.errors().check(c.runtime().wait_in_stream(s.handle(), event), "ordering streams");
    }));
  };
  table.create_stream = [](void* self, void** out) {
    return coded_cuda(guarded([&] { return context(self).create_stream(out); }));
  };
  table.destroy_stream = [](void* self, void* stream) {
    coded_cuda(context(self).destroy_stream(stream));
  };
  table.begin_graph = [](void* self, void* stream) {
    CudaContext& c = context(self);
    return coded_cuda(c.with_stream(stream, [&](CudaStream& s) {
      const Status begun =
          c.errors().check(c.runtime().begin_capture(s.handle()), "beginning a graph");
      s.capturing = begun.ok();
      return begun;
    }));
  };
  table.end_graph = [](void* self, void* stream, void** graph) {
    *graph = nullptr;
    CudaContext& c = context(self);
    return coded_cuda(c.with_stream(stream, [&](CudaStream& s) -> Status {
      s.capturing = false;
      const int error = c.runtime().end_capture(s.handle(), graph);
      if (error != 0) c.runtime().last_error();
      ACD_RETURN_IF_ERROR(c.errors().check(error, "ending a graph"));
      if (!*graph) return Status(Code::kInternal, c.name() + ": a graph was broken off");
      return Status();
    }));
  };
  table.launch_graph = [](void* self, void* stream, void* graph) {
    CudaContext& c = context(self);
    return coded_cuda(c.with_stream(stream, [&](CudaStream& s) {
      return c.errors().check(c.runtime().launch_graph(graph, s.handle()), "a graph");
    }));
  };
  table.release_graph = [](void* self, void* graph) {
    CudaContext& c = context(self);
    if (graph) c.runtime().destroy_graph(graph);
  };
  return table;
}

}  // namespace acd
