// Memory, streams and errors of the CUDA backend, over a runtime that fails where it is told to.
#include <doctest/doctest.h>

#include <chrono>
#include <cstring>
#include <memory>
#include <string>
#include <vector>

#include "backend/cuda/host/cuda_context.h"
#include "backend/device.h"
#include "fake_cuda.h"

using namespace acd;
using acd::test::FakeCuda;

namespace {

constexpr size_t kMega = size_t{1} << 20;
constexpr int kOutOfMemory = 2, kInvalidValue = 1, kIllegalAddress = 700;

// A device whose kernels are one that copies the input of a layer norm.
std::shared_ptr<Device> fake_device(uint64_t budget = 0) {
  auto context = CudaContext::make(FakeCuda::get().runtime(), {0, 90, 132, 227 << 10}, budget);
  REQUIRE(context.ok());
  BackendTable table = {};
  table.abi_version = kAbiVersion;
  table.struct_bytes = sizeof table;
  table.layer_norm = [](void* self, void* stream, const LayerNormParams* p) {
    auto& c = *static_cast<CudaContext*>(self);
    return coded_cuda(c.run(stream, "layer_norm", [&](const CudaLaunch& launch, CudaStream&) {
      const int error = FakeCuda::get().enter("kernel");
      if (p->rows > 0 && !launch.scratch(launch.owner, static_cast<size_t>(p->rows))) return 0;
      return error;
    }));
  };
  auto device = Device::adopt(CudaContext::base_table(std::move(context.value()), table));
  REQUIRE(device.ok());
  return device.value();
}

bool contains(const Status& status, const char* text) {
  return status.message().find(text) != std::string::npos;
}

}  // namespace

TEST_CASE("device memory that is given back is kept, and used again by the same stream") {
  FakeCuda::get().reset();
  {
    const auto device = fake_device();
    void* first = nullptr;
    REQUIRE(device->alloc(3 * kMega, &first).ok());
    CHECK(device->live_bytes() == 3 * kMega);
    device->release(first, 3 * kMega);
    CHECK(device->live_bytes() == 0);
    void* second = nullptr;
    REQUIRE(device->alloc(3 * kMega - 5, &second).ok());
    CHECK(second == first);
    CHECK(FakeCuda::get().calls("malloc_device") == 1);
    CHECK(FakeCuda::get().calls("synchronize") == 0);
    device->release(second, 3 * kMega - 5);
  }
  CHECK(FakeCuda::get().live_bytes() == 0);
  CHECK(FakeCuda::get().open_handles() == 0);
}

TEST_CASE("a block of another stream is handed out only after that stream was waited for") {
  FakeCuda::get().reset();
  const auto device = fake_device();
  const auto one = device->fork(), two = device->fork();
  REQUIRE(one.ok());
  REQUIRE(two.ok());
  void* memory = nullptr;
  REQUIRE(one.value()->alloc(kMega, &memory).ok());
  one.value()->release(memory, kMega);
  void* again = nullptr;
  REQUIRE(two.value()->alloc(kMega, &again).ok());
  CHECK(again == memory);
  CHECK(FakeCuda::get().calls("synchronize") == 1);
  two.value()->release(again, kMega);
}

TEST_CASE("a much larger block is not wasted on a small request") {
  FakeCuda::get().reset();
  const auto device = fake_device();
  void *large = nullptr, *small = nullptr;
  REQUIRE(device->alloc(64 * kMega, &large).ok());
  device->release(large, 64 * kMega);
  REQUIRE(device->alloc(kMega, &small).ok());
  CHECK(small != large);
  device->release(small, kMega);
}

TEST_CASE("out of memory says what was asked and what is free, and the call may be repeated") {
  FakeCuda::get().reset(10 * kMega);
  const auto device = fake_device();
  void *first = nullptr, *second = nullptr;
  REQUIRE(device->alloc(8 * kMega, &first).ok());
  const Status full = device->alloc(4 * kMega, &second);
  CHECK(full.code() == Code::kOutOfMemory);
  CHECK(second == nullptr);
  CHECK(contains(full, "4.0 MiB were asked for"));
  CHECK(contains(full, "2.0 MiB of 10.0 MiB are free"));
  CHECK(contains(full, "8.0 MiB are in use"));
  device->release(first, 8 * kMega);
  // The kept block is too large to be handed out, so it goes back to the driver.
  REQUIRE(device->alloc(4 * kMega, &second).ok());
  device->release(second, 4 * kMega);
}

TEST_CASE("a budget bounds what the process takes, kept blocks included") {
  FakeCuda::get().reset();
  const auto device = fake_device(10 * kMega);
  void *first = nullptr, *second = nullptr;
  REQUIRE(device->alloc(8 * kMega, &first).ok());
  const Status over = device->alloc(4 * kMega, &second);
  CHECK(over.code() == Code::kOutOfMemory);
  CHECK(contains(over, "a budget of 10.0 MiB"));
  device->release(first, 8 * kMega);
  REQUIRE(device->alloc(4 * kMega, &second).ok());
  CHECK(FakeCuda::get().live_bytes() <= 10 * kMega);
  device->release(second, 4 * kMega);
}

TEST_CASE("an impossible size is out of memory and asks the driver nothing") {
  FakeCuda::get().reset();
  const auto device = fake_device();
  void* memory = nullptr;
  CHECK(device->alloc(~size_t{0} - 5, &memory).code() == Code::kOutOfMemory);
  CHECK(FakeCuda::get().calls("malloc_device") == 0);
}

TEST_CASE("a failure of any single allocation is retryable and leaves nothing behind") {
  for (int nth = 0; nth < 4; ++nth) {
    CAPTURE(nth);
    FakeCuda::get().reset();
    {
      const auto device = fake_device();
      FakeCuda::get().fail("malloc_device", kOutOfMemory, nth);
      int failed = 0;
      for (int i = 0; i < 4; ++i) {
        void* memory = nullptr;
        const size_t bytes = kMega << i;
        const Status status = device->alloc(bytes, &memory);
        if (!status.ok()) {
          ++failed;
          CHECK(status.code() == Code::kOutOfMemory);
          REQUIRE(device->alloc(bytes, &memory).ok());
        }
        device->release(memory, bytes);
      }
      // Where kept blocks could be given back, the second try succeeded by itself.
      CHECK(failed == (nth == 0 ? 1 : 0));
    }
    CHECK(FakeCuda::get().live_bytes() == 0);
    CHECK(FakeCuda::get().open_handles() == 0);
  }
}

TEST_CASE("uploads and downloads of any size arrive whole") {
  FakeCuda::get().reset();
  const auto device = fake_device();
  const size_t slot = Staging::kSlotBytes;
  for (size_t bytes : {size_t{1}, size_t{63}, slot - 1, slot, slot + 1, 3 * slot + 17}) {
    CAPTURE(bytes);
    std::vector<uint8_t> in(bytes), out(bytes, 0);
    for (size_t i = 0; i < bytes; ++i) in[i] = static_cast<uint8_t>(i * 7 + bytes);
    void* memory = nullptr;
    REQUIRE(device->alloc(bytes, &memory).ok());
    REQUIRE(device->upload(memory, in.data(), bytes).ok());
    REQUIRE(device->download(out.data(), memory, bytes).ok());
    CHECK(in == out);
    device->release(memory, bytes);
  }
}

TEST_CASE("scratch memory that is missing is the op's out-of-memory error") {
  FakeCuda::get().reset(kMega);
  const auto device = fake_device();
  LayerNormParams p = {};
  p.rows = 2 * kMega;
  const Status status = device->layer_norm(p);
  CHECK(status.code() == Code::kOutOfMemory);
  CHECK(contains(status, "2.0 MiB were asked for"));
  p.rows = 1000;
  CHECK(device->layer_norm(p).ok());
}

TEST_CASE("a wrong call of ours is an internal error and does not lose the device") {
  FakeCuda::get().reset();
  const auto device = fake_device();
  FakeCuda::get().fail("kernel", kInvalidValue);
  const Status status = device->layer_norm({});
  CHECK(status.code() == Code::kInternal);
  CHECK(contains(status, "layer_norm"));
  CHECK(device->layer_norm({}).ok());
}

TEST_CASE("a sticky error loses the device, and every later call says so in under a millisecond") {
  FakeCuda::get().reset();
  const auto device = fake_device();
  const auto other = device->fork();
  REQUIRE(other.ok());
  void* memory = nullptr;
  REQUIRE(device->alloc(64, &memory).ok());
  float value = 0;
  // A kernel's fault shows at the next wait.
  FakeCuda::get().fail("wait_for_event", kIllegalAddress);
  const Status first = device->download(&value, memory, sizeof value);
  CHECK(first.code() == Code::kDeviceUnavailable);
  CHECK(contains(first, "cuda:0 was lost"));
  CHECK(contains(first, "an illegal memory access"));
  const int before = FakeCuda::get().calls("set_device");
  const auto start = std::chrono::steady_clock::now();
  void* more = nullptr;
  const Status later[] = {device->alloc(64, &more),
                          device->upload(memory, &value, sizeof value),
                          device->download(&value, memory, sizeof value),
                          device->synchronize(),
                          other.value()->layer_norm({}),
                          other.value()->synchronize(),
                          device->fork().status(),
                          device->begin_graph()};
  const auto took = std::chrono::steady_clock::now() - start;
  for (const Status& status : later) {
    CHECK(status.code() == Code::kDeviceUnavailable);
    CHECK(status.message() == first.message());
  }
  CHECK(took < std::chrono::milliseconds(8));
  // Nothing asks a lost device.
  CHECK(FakeCuda::get().calls("set_device") == before);
  device->release(memory, 64);
}

TEST_CASE(
    "a stream waits for another one by an event that is made once, and the caller waits for none") {
  FakeCuda::get().reset();
  {
    const auto device = fake_device();
    const auto one = device->fork().value(), two = device->fork().value();
    const int events = FakeCuda::get().open_handles();
    for (int i = 0; i < 3; ++i) CHECK(one->wait_for(*two).ok());
    CHECK(one->wait_for(*one).ok());
    CHECK(FakeCuda::get().open_handles() == events + 1);
    CHECK(FakeCuda::get().calls("record") == 3);
    CHECK(FakeCuda::get().calls("wait_in_stream") == 3);
    CHECK(FakeCuda::get().calls("wait_for_event") == 0);
    CHECK(FakeCuda::get().calls("synchronize") == 0);
  }
  CHECK(FakeCuda::get().open_handles() == 0);
}

TEST_CASE("every function of the runtime may fail once: an error, and then all is well") {
  for (const char* function :
       {"set_device", "malloc_device", "malloc_pinned", "copy", "create_event", "record",
        "wait_for_event", "wait_in_stream", "synchronize", "kernel"}) {
    for (int error : {kOutOfMemory, kInvalidValue}) {
      CAPTURE(function);
      CAPTURE(error);
      FakeCuda::get().reset();
      {
        const auto device = fake_device();
        const auto other = device->fork().value();
        const auto use = [&]() -> Status {
          auto array = DeviceArray<float>::make(device, 4096);
          ACD_RETURN_IF_ERROR(array.status());
          std::vector<float> host(4096, 1.5f);
          ACD_RETURN_IF_ERROR(device->upload(array.value().data(), host.data(), 4096 * 4));
          ACD_RETURN_IF_ERROR(device->layer_norm({}));
          ACD_RETURN_IF_ERROR(device->wait_for(*other));
          ACD_RETURN_IF_ERROR(device->synchronize());
          return device->download(host.data(), array.value().data(), 4096 * 4);
        };
        FakeCuda::get().fail(function, error);
        const Status status = use();
        CHECK(status.code() == (error == kOutOfMemory ? Code::kOutOfMemory : Code::kInternal));
        CHECK(use().ok());
      }
      CHECK(FakeCuda::get().live_bytes() == 0);
      CHECK(FakeCuda::get().open_handles() == 0);
    }
  }
}

TEST_CASE("a graph is captured, launched and given back; scratch must not grow in it") {
  FakeCuda::get().reset();
  {
    const auto device = fake_device();
    LayerNormParams p = {};
    p.rows = 4096;
    REQUIRE(device->layer_norm(p).ok());
    REQUIRE(device->begin_graph().ok());
    CHECK(device->layer_norm(p).ok());
    p.rows = 100000;
    CHECK(device->layer_norm(p).code() == Code::kInternal);
    void* graph = nullptr;
    REQUIRE(device->end_graph(&graph).ok());
    CHECK(device->launch_graph(graph).ok());
    device->release_graph(graph);
  }
  CHECK(FakeCuda::get().open_handles() == 0);
}

TEST_CASE("scratch memory that a graph was given stays the graph's when an op asks for more") {
  FakeCuda::get().reset();
  {
    const auto device = fake_device();
    const auto stream = device->fork().value();
    const auto layer_norm = [&](int64_t bytes) {
      LayerNormParams p = {};
      p.rows = bytes;
      return stream->layer_norm(p);
    };
    // Whether 1 MiB is to be had without asking the driver: the old scratch, given back.
    const auto is_free = [&] {
      const int calls = FakeCuda::get().calls("malloc_device");
      void* memory = nullptr;
      REQUIRE(stream->alloc(kMega, &memory).ok());
      stream->release(memory, kMega);
      return FakeCuda::get().calls("malloc_device") == calls;
    };
    REQUIRE(layer_norm(kMega).ok());
    REQUIRE(stream->begin_graph().ok());
    CHECK(layer_norm(kMega).ok());
    void* graph = nullptr;
    REQUIRE(stream->end_graph(&graph).ok());
    REQUIRE(layer_norm(4 * kMega).ok());
    CHECK(!is_free());
    CHECK(stream->launch_graph(graph).ok());
    stream->release_graph(graph);
  }
  CHECK(FakeCuda::get().live_bytes() == 0);
  CHECK(FakeCuda::get().open_handles() == 0);
}
