// What Device promises above any backend, and what the CPU backend promises below it.
#include <doctest/doctest.h>

#include <cstring>
#include <limits>
#include <string>
#include <vector>

#include "backend/cpu/cpu_backend.h"
#include "backend/cpu/isa.h"
#include "core/aligned.h"

using namespace acd;

namespace {

int g_destroyed = 0;

BackendTable empty_table() {
  BackendTable table = {};
  table.abi_version = kAbiVersion;
  table.struct_bytes = sizeof table;
  table.name = "empty";
  table.destroy = [](void*) { ++g_destroyed; };
  table.last_error = [](void*) { return "the reason"; };
  table.synchronize = [](void*, void*) { return static_cast<int>(Code::kDeviceUnavailable); };
  return table;
}

}  // namespace

TEST_CASE("a backend of another ABI, or with a shorter table, is refused") {
  BackendTable other = empty_table();
  other.abi_version = kAbiVersion + 1;
  CHECK(Device::adopt(other).status().code() == Code::kDeviceUnavailable);
  BackendTable shorter = empty_table();
  shorter.struct_bytes = sizeof shorter - sizeof(void*);
  CHECK(Device::adopt(shorter).status().code() == Code::kDeviceUnavailable);
}

TEST_CASE("an op that a backend lacks is reported by name and not done elsewhere") {
  g_destroyed = 0;
  {
    const auto device = Device::adopt(empty_table());
    REQUIRE(device.ok());
    const Status s = device.value()->layer_norm(LayerNormParams{});
    CHECK(s.code() == Code::kUnsupported);
    CHECK(s.message() == "empty has no kernel for layer_norm");
  }
  CHECK(g_destroyed == 1);
}

TEST_CASE("a backend's code and reason become the status") {
  const auto device = Device::adopt(empty_table());
  REQUIRE(device.ok());
  const Status s = device.value()->synchronize();
  CHECK(s.code() == Code::kDeviceUnavailable);
  CHECK(s.message() == "the reason");
}

TEST_CASE("device memory holds what is uploaded and is given back") {
  const size_t before = live_bytes();
  {
    const auto device = make_cpu_device(1);
    REQUIRE(device.ok());
    auto array = DeviceArray<float>::make(device.value(), 5);
    REQUIRE(array.ok());
    const float in[5] = {1, 2, 3, 4, 5};
    float out[5] = {};
    CHECK(device.value()->upload(array.value().data(), in, sizeof in).ok());
    CHECK(device.value()->download(out, array.value().data(), sizeof out).ok());
    CHECK(std::memcmp(in, out, sizeof in) == 0);
    DeviceArray<float> moved = std::move(array.value());
    CHECK(moved.size() == 5);
    CHECK(live_bytes() == before + sizeof in);
  }
  CHECK(live_bytes() == before);
}

TEST_CASE("packed weights are given back with their owner") {
  const size_t before = live_bytes();
  {
    const auto device = make_cpu_device(1);
    REQUIRE(device.ok());
    const std::string zeros(300 * 17 * sizeof(float), '\0');
    const auto* weight = reinterpret_cast<const float*>(zeros.data());
    auto linear = Linear::make(device.value(), {weight, weight, 300, 17});
    REQUIRE(linear.ok());
    CHECK(live_bytes() >= before + 300 * 17 * sizeof(float));
  }
  CHECK(live_bytes() == before);
}

#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
// Sanitizers end the process instead.
TEST_CASE("memory that nobody has is an out-of-memory status, and the next call works") {
  const auto device = make_cpu_device(1);
  REQUIRE(device.ok());
  void* memory = nullptr;
  const Status s = device.value()->alloc(std::numeric_limits<size_t>::max() / 4, &memory);
  CHECK(s.code() == Code::kOutOfMemory);
  CHECK(memory == nullptr);
  REQUIRE(device.value()->alloc(64, &memory).ok());
  device.value()->release(memory, 64);
}
#endif

TEST_CASE("a level without bf16 refuses bf16 numbers and says why") {
  if (has_bf16()) return;
  const auto device = make_cpu_device(1).value();
  const float weight[6] = {};
  const auto made = Linear::make(device, {weight, nullptr, 2, 3, NumberType::kBf16});
  REQUIRE(!made.ok());
  CHECK(made.status().code() == Code::kUnsupported);
  CHECK(made.status().message() == "Precision bf16 cannot be used on the CPU: " + bf16_reason());
  const std::vector<uint16_t> qkv(3 * kHeadWidth);
  std::vector<uint16_t> out(kHeadWidth);
  const Status status =
      device->attention({qkv.data(), out.data(), 1, 1, 1, false, NumberType::kBf16});
  CHECK(status.code() == Code::kUnsupported);
}

TEST_CASE("a backend that says nothing of precisions computes in fp32 alone") {
  const auto device = Device::adopt(empty_table()).value();
  CHECK(device->check_precision(Precision::kFp32).ok());
  const Status status = device->check_precision(Precision::kBf16);
  CHECK(status.code() == Code::kUnsupported);
  CHECK(status.message() == "empty computes in fp32, not in bf16");
}

TEST_CASE("a device is there for as long as a fork of it is") {
  std::weak_ptr<Device> adopted;
  std::shared_ptr<Device> fork;
  {
    const auto device = make_cpu_device(1).value();
    adopted = device;
    fork = device->fork().value()->fork().value();
  }
  CHECK(!adopted.expired());
  fork.reset();
  CHECK(adopted.expired());
}
