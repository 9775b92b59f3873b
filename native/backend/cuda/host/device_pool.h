// Device memory: blocks are kept when they are given back, because asking the driver for one
// stops every stream of the device.
//
//   - A block belongs to the stream it was asked for. Given back, it may be handed out again on the
//     same stream at once (the stream keeps the order), on another one only after the first has
//     been waited for.
//   - The budget bounds what is held, kept blocks included. Before a request fails, blocks that
//     nobody uses go back to the driver.
//   - A request that fails is kOutOfMemory and says what was asked, free and held. Nothing is lost:
//     it may be repeated.
#pragma once

#include <cstdint>
#include <map>
#include <mutex>
#include <unordered_map>

#include "backend/cuda/host/device_errors.h"
#include "backend/cuda/host/runtime.h"

namespace acd {

class DevicePool {
 public:
  // budget_bytes 0: all that the device has.
  DevicePool(const CudaRuntime& runtime, DeviceErrors& errors, std::string device,
             uint64_t budget_bytes);
  ~DevicePool();
  DevicePool(const DevicePool&) = delete;
  DevicePool& operator=(const DevicePool&) = delete;

  // At least `bytes`, aligned to 512. bytes == 0 gives null.
  Status alloc(void* stream, size_t bytes, void** out);
  void release(void* stream, void* memory);

  // The stream is idle and goes away: its blocks belong to nobody.
  void forget_stream(void* stream);

  struct Usage {
    uint64_t in_use_bytes;
    uint64_t held_bytes;  // with the kept blocks
    uint64_t peak_bytes;  // most that was in use at a time
  };
  Usage usage() const;

 private:
  struct Block {
    size_t bytes;
    void* stream;
  };
  struct Kept {
    void* memory;
    void* stream;
  };

  Status take_kept(void* stream, size_t bytes, void** out);
  void give_back_kept();
  bool fits(size_t bytes) const;
  Status out_of_memory(size_t bytes);

  const CudaRuntime& runtime_;
  DeviceErrors& errors_;
  const std::string device_;
  const uint64_t budget_bytes_;

  mutable std::mutex mutex_;
  std::unordered_map<void*, Block> used_;
  std::multimap<size_t, Kept> kept_;
  uint64_t in_use_bytes_ = 0;
  uint64_t held_bytes_ = 0;
  uint64_t peak_bytes_ = 0;
};

}  // namespace acd
