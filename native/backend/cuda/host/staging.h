// Pinned memory between the host's pageable memory and the device: with it a copy runs beside the
// computation, and the caller's buffer is free as soon as an upload returns.
#pragma once

#include <array>
#include <cstdint>

#include "backend/cuda/host/device_errors.h"
#include "backend/cuda/host/runtime.h"

namespace acd {

// Of one stream; its caller locks.
class Staging {
 public:
  static constexpr size_t kSlotBytes = size_t{4} << 20;

  Staging(const CudaRuntime& runtime, DeviceErrors& errors) : runtime_(runtime), errors_(errors) {}
  ~Staging();
  Staging(const Staging&) = delete;
  Staging& operator=(const Staging&) = delete;

  // Returns when `from` may be changed; the copy itself is done in the stream's order.
  Status upload(void* stream, void* device, const void* from, size_t bytes);
  // Returns when `to` holds the bytes.
  Status download(void* stream, void* to, const void* device, size_t bytes);

 private:
  struct Slot {
    uint8_t* memory = nullptr;
    void* event = nullptr;
    size_t used = 0;
    bool busy = false;  // `event` was recorded after its last copy
  };

  Status prepare(Slot& slot);
  Status wait(Slot& slot);
  Status close(Slot& slot, void* stream);

  const CudaRuntime& runtime_;
  DeviceErrors& errors_;
  std::array<Slot, 2> up_, down_;
  size_t current_ = 0;
};

}  // namespace acd
