// Buffers of the number types of device memory, for tests of what CUDA kernels write.
#pragma once

#include <vector>

#include "backend/cuda/numbers.h"
#include "op_test.h"

namespace acd::test {

const char* number_name(cuda::Number type);
size_t number_bytes(cuda::Number type);

// Floats rounded to a type, guard words around them, and back. Cells that hold the guard word (that
// nobody filled) hold a guard of their own type and come back as the guard word.
class DeviceNumbers {
 public:
  DeviceNumbers(cuda::Number type, int64_t n) : DeviceNumbers(type, Floats(n)) {}
  DeviceNumbers(cuda::Number type, const Floats& values);
  void* data() { return bytes_.data() + guard_bytes_; }
  const void* data() const { return bytes_.data() + guard_bytes_; }
  Floats floats() const;

 private:
  cuda::Number type_;
  size_t guard_bytes_;
  std::vector<uint8_t> bytes_;
};

// The values as the type keeps them.
float rounded(cuda::Number type, float f);
Floats rounded(cuda::Number type, const Floats& values);

}  // namespace acd::test
