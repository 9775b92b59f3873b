#include "lazy_device.h"

#include <algorithm>
#include <cstring>

#include "backend/cpu/cpu_backend.h"
#include "core/aligned.h"
#include "emulated_cuda.h"
#include "forwarded_ops.h"
#include "ops/patchify/patchify.h"
#include "ops/preprocess/preprocess.h"
#include "ops/preprocess/preprocess_cuda.h"

namespace acd::test {
namespace {

thread_local std::string t_reason;

struct Graph {
  std::vector<std::function<int()>> ops;
};

// The kernel that a GPU would run where the emulator can, else the reference: the same bits.
int preprocess(const PreprocessParams& p) {
  if (kCanEmulateCuda) {
    struct Scratch {
      std::vector<uint8_t> bytes;
    } scratch;
    set_thread_order(1);
    const CudaLaunch launch = {nullptr,
                               90,
                               132,
                               227 * 1024,
                               [](void* owner, size_t bytes) -> void* {
                                 auto& s = *static_cast<Scratch*>(owner);
                                 s.bytes.assign(bytes, 0xa5);
                                 return s.bytes.data();
                               },
                               &scratch};
    return preprocess_cuda(launch, p);
  }
  std::vector<float> image(static_cast<size_t>(3 * p.size * p.size));
  preprocess_rgb8_ref(p.pixels, static_cast<int>(p.width), static_cast<int>(p.height),
                      static_cast<int>(p.size), image.data());
  patchify_ref({image.data(), p.rows, 1, p.size, p.patch});
  return 0;
}

}  // namespace

struct LazyDevice::Stream {
  std::deque<Work> waiting;
  size_t done = 0;  // works that ran; waiting.front() is number `done`
  int error = 0;    // of the first that failed, until somebody waits
  Graph* capturing = nullptr;
  size_t asked() const { return done + waiting.size(); }
};

struct LazyDevice::Entries {
  static LazyDevice& of(void* self) { return *static_cast<LazyDevice*>(self); }

  template <typename Params, Status (Device::*Op)(const Params&) const>
  struct Forward {
    static int call(void* self, void* stream, const Params* p) {
      LazyDevice& d = of(self);
      std::lock_guard<std::mutex> lock(d.mutex_);
      return d.ask(stream, [&d, p = *p] {
        const Status status = ((*d.inner_).*Op)(p);
        if (!status.ok()) t_reason = status.message();
        return static_cast<int>(status.code());
      });
    }
  };

  // Its weights are the caller's, in host memory.
  static int gate(void* self, void* stream, const GateParams* p) {
    LazyDevice& d = of(self);
    std::lock_guard<std::mutex> lock(d.mutex_);
    std::vector<GateWeights> weights(p->of, p->of + p->gates);
    return d.ask(stream, [&d, p = *p, weights]() mutable {
      p.of = weights.data();
      return static_cast<int>(d.inner_->gate(p).code());
    });
  }

  static BackendTable table(LazyDevice* self) {
    BackendTable t = {};
    t.abi_version = kAbiVersion;
    t.struct_bytes = sizeof t;
    t.name = "lazy";
    t.self = self;
    t.destroy = [](void*) {};
    t.last_error = [](void*) { return t_reason.c_str(); };
    t.check_precision = [](void*, Precision) { return 0; };
    memory(t);
    streams(t);
    graphs(t);
    t.pack_linear = [](void* s, const LinearWeights* weights, PackedLinear** out) {
      return static_cast<int>(of(s).inner_->pack_linear(*weights, out).code());
    };
    t.linear_bytes = [](void* s, const PackedLinear* p) { return of(s).inner_->linear_bytes(p); };
    t.release_linear = [](void* s, PackedLinear* p) { of(s).inner_->release_linear(p); };
    forward_ops<Forward>(t);
    t.gate = gate;
    t.preprocess = [](void* s, void* stream, const PreprocessParams* p) {
      std::lock_guard<std::mutex> lock(of(s).mutex_);
      return of(s).ask(stream, [p = *p] { return preprocess(p); });
    };
    return t;
  }

  static void memory(BackendTable& t) {
    t.alloc = [](void* s, void* stream, size_t bytes, void** out) {
      LazyDevice& d = of(s);
      std::lock_guard<std::mutex> lock(d.mutex_);
      if (d.of(stream).capturing) return d.refuse(Code::kInternal, "memory in a graph");
      *out = allocate_bytes(bytes);
      std::memset(*out, 0xa5, bytes);
      d.live_bytes_ += bytes;
      return 0;
    };
    // In the stream's order; whoever else still reads it finds no sense in it.
    t.release = [](void* s, void* stream, void* memory, size_t bytes) {
      LazyDevice& d = of(s);
      std::lock_guard<std::mutex> lock(d.mutex_);
      if (!memory) return;
      d.live_bytes_ -= bytes;
      d.of(stream).waiting.push_back([memory, bytes] {
        std::memset(memory, 0xa5, bytes);
        release_bytes(memory, bytes);
        return 0;
      });
    };
    t.upload = [](void* s, void* stream, void* to, const void* from, size_t bytes) {
      LazyDevice& d = of(s);
      std::lock_guard<std::mutex> lock(d.mutex_);
      if (d.of(stream).capturing) return d.refuse(Code::kInternal, "an upload in a graph");
      ++d.counts_.uploads;
      const auto* first = static_cast<const uint8_t*>(from);
      std::vector<uint8_t> copy(first, first + bytes);
      d.of(stream).waiting.push_back([to, copy = std::move(copy)] {
        std::memcpy(to, copy.data(), copy.size());
        return 0;
      });
      return 0;
    };
    t.download = [](void* s, void* stream, void* to, const void* from, size_t bytes) {
      LazyDevice& d = of(s);
      d.door.pass();
      std::lock_guard<std::mutex> lock(d.mutex_);
      ++d.counts_.downloads;
      d.counts_.uploads_before.push_back(d.counts_.uploads);
      const int failed = d.run_to(d.of(stream), d.of(stream).asked());
      if (failed == 0) std::memcpy(to, from, bytes);
      return failed;
    };
    t.synchronize = [](void* s, void* stream) {
      LazyDevice& d = of(s);
      std::lock_guard<std::mutex> lock(d.mutex_);
      return d.run_to(d.of(stream), d.of(stream).asked());
    };
  }

  static void streams(BackendTable& t) {
    t.create_stream = [](void* s, void** out) {
      LazyDevice& d = of(s);
      std::lock_guard<std::mutex> lock(d.mutex_);
      auto* stream = new Stream();
      d.streams_.insert(stream);
      *out = stream;
      return 0;
    };
    // Kept until the device goes: others may have been told to wait for it.
    t.destroy_stream = [](void* s, void* stream) {
      LazyDevice& d = of(s);
      std::lock_guard<std::mutex> lock(d.mutex_);
      d.run_to(d.of(stream), d.of(stream).asked());
    };
    t.wait_for = [](void* s, void* stream, void* other) {
      LazyDevice& d = of(s);
      std::lock_guard<std::mutex> lock(d.mutex_);
      Stream& first = d.of(other);
      const size_t end = first.asked();
      d.of(stream).waiting.push_back([&d, &first, end] { return d.run_to(first, end); });
      return 0;
    };
  }

  static void graphs(BackendTable& t) {
    t.begin_graph = [](void* s, void* stream) {
      LazyDevice& d = of(s);
      std::lock_guard<std::mutex> lock(d.mutex_);
      ++d.counts_.captures;
      d.of(stream).capturing = new Graph();
      return 0;
    };
    t.end_graph = [](void* s, void* stream, void** out) {
      LazyDevice& d = of(s);
      std::lock_guard<std::mutex> lock(d.mutex_);
      std::unique_ptr<Graph> graph(std::exchange(d.of(stream).capturing, nullptr));
      *out = nullptr;
      if (std::exchange(d.fail_end_, false))
        return d.refuse(Code::kInternal, "the capture was broken off");
      ++d.live_graphs_;
      *out = graph.release();
      return 0;
    };
    t.launch_graph = [](void* s, void* stream, void* graph) {
      LazyDevice& d = of(s);
      std::lock_guard<std::mutex> lock(d.mutex_);
      ++d.counts_.graph_launches;
      for (const Work& work : static_cast<Graph*>(graph)->ops) d.of(stream).waiting.push_back(work);
      return d.eager_ ? d.run_to(d.of(stream), d.of(stream).asked()) : 0;
    };
    t.release_graph = [](void* s, void* graph) {
      LazyDevice& d = of(s);
      std::lock_guard<std::mutex> lock(d.mutex_);
      --d.live_graphs_;
      delete static_cast<Graph*>(graph);
    };
  }
};

LazyDevice::LazyDevice()
    : inner_(make_cpu_device(1).value()),
      device_(Device::adopt(Entries::table(this)).value()),
      shared_(std::make_unique<Stream>()) {}

LazyDevice::~LazyDevice() {
  device_.reset();
  run_to(*shared_, shared_->asked());
  for (Stream* stream : streams_) {
    run_to(*stream, stream->asked());
    delete stream;
  }
}

LazyDevice::Stream& LazyDevice::of(void* stream) {
  return stream ? *static_cast<Stream*>(stream) : *shared_;
}

int LazyDevice::refuse(Code code, const std::string& why) {
  t_reason = why;
  return static_cast<int>(code);
}

int LazyDevice::ask(void* stream, Work work) {
  Stream& s = of(stream);
  if (s.capturing) {
    if (fail_capture_ > 0 && --fail_capture_ == 0)
      return refuse(Code::kInternal, "made to fail while captured");
    s.capturing->ops.push_back(std::move(work));
    return 0;
  }
  ++counts_.ops;
  if (refuse_op_ > 0 && --refuse_op_ == 0) return refuse(Code::kOutOfMemory, "made to fail");
  if (fail_run_ > 0 && --fail_run_ == 0) {
    s.waiting.push_back([] { return static_cast<int>(Code::kInternal); });
    return 0;
  }
  s.waiting.push_back(std::move(work));
  return eager_ ? run_to(s, s.asked()) : 0;
}

int LazyDevice::run_to(Stream& s, size_t end) {
  while (s.done < end) {
    Work work = std::move(s.waiting.front());
    s.waiting.pop_front();
    ++s.done;
    const int failed = work();
    if (failed != 0 && s.error == 0) s.error = failed;
  }
  const int error = std::exchange(s.error, 0);
  if (error != 0 && t_reason.empty()) t_reason = "made to fail";
  return error;
}

LazyDevice::Counts LazyDevice::counts() const {
  std::lock_guard<std::mutex> lock(mutex_);
  return counts_;
}
void LazyDevice::reset_counts() {
  std::lock_guard<std::mutex> lock(mutex_);
  counts_ = Counts();
}
size_t LazyDevice::live_bytes() const {
  std::lock_guard<std::mutex> lock(mutex_);
  return live_bytes_;
}
int LazyDevice::live_graphs() const {
  std::lock_guard<std::mutex> lock(mutex_);
  return live_graphs_;
}
void LazyDevice::fail_capture(int n) {
  std::lock_guard<std::mutex> lock(mutex_);
  fail_capture_ = n;
}
void LazyDevice::fail_end_of_capture() {
  std::lock_guard<std::mutex> lock(mutex_);
  fail_end_ = true;
}
void LazyDevice::refuse_op(int n) {
  std::lock_guard<std::mutex> lock(mutex_);
  refuse_op_ = n;
}
void LazyDevice::fail_run(int n) {
  std::lock_guard<std::mutex> lock(mutex_);
  fail_run_ = n;
}

}  // namespace acd::test
