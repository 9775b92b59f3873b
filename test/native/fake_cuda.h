// A CUDA runtime that is made of memory of the process, with a capacity, and with errors wherever a
// test wants one.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "backend/cuda/host/runtime.h"

namespace acd::test {

// One for the whole process: the runtime's functions take no context.
struct FakeCuda {
  static FakeCuda& get();
  // Everything given back, nothing fails, `capacity` bytes of device memory.
  void reset(size_t capacity = size_t{1} << 30);

  // The n-th call from now (0: the next) of a function gives this error; a sticky one goes on.
  void fail(const std::string& function, int error, int after = 0);

  const CudaRuntime& runtime() const;
  size_t live_bytes() const { return live_bytes_; }
  int calls(const std::string& function) const;
  int open_handles() const { return handles_; }

  // Counts a call; the error that it shall give.
  int enter(const char* function);

  size_t capacity_ = 0;
  size_t live_bytes_ = 0;
  size_t pinned_bytes_ = 0;
  int handles_ = 0;
  int last_error_ = 0;
  int sticky_ = 0;
  bool capturing_ = false;
  std::map<void*, size_t> blocks_;
  std::map<std::string, int> calls_;
  struct Fault {
    int at, error;
  };
  std::map<std::string, Fault> faults_;
  std::vector<std::string> log_;  // what was done to streams, in order
};

}  // namespace acd::test
