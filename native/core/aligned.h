// Owned, 64-byte aligned memory that counts itself. Large blocks ask for huge pages: the weights of
// a ViT-L are 1.2 GB and are streamed once per image.
#pragma once

#include <cstddef>
#include <cstdint>
#include <utility>

namespace acd {

// Bytes now held by every Aligned of the process, and the most there ever were.
size_t live_bytes();
size_t peak_bytes();
// Bytes that this thread allocated less those that it released. What one thread builds is measured
// by the difference; live_bytes() would count what other threads do meanwhile.
int64_t thread_balance();

// For owners that are not AlignedBytes (the backend's table). Throws std::bad_alloc.
uint8_t* allocate_bytes(size_t bytes);
void release_bytes(void* memory, size_t bytes);

class AlignedBytes {
 public:
  AlignedBytes() = default;
  // Contents undefined; throws std::bad_alloc.
  explicit AlignedBytes(size_t bytes) : data_(allocate_bytes(bytes)), bytes_(bytes) {}
  ~AlignedBytes() { release_bytes(data_, bytes_); }
  AlignedBytes(AlignedBytes&& o) noexcept
      : data_(std::exchange(o.data_, nullptr)), bytes_(std::exchange(o.bytes_, 0)) {}
  AlignedBytes& operator=(AlignedBytes&& o) noexcept {
    std::swap(data_, o.data_);
    std::swap(bytes_, o.bytes_);
    return *this;
  }
  AlignedBytes(const AlignedBytes&) = delete;
  AlignedBytes& operator=(const AlignedBytes&) = delete;

  uint8_t* data() { return data_; }
  const uint8_t* data() const { return data_; }
  size_t bytes() const { return bytes_; }

 private:
  uint8_t* data_ = nullptr;
  size_t bytes_ = 0;
};

// n floats.
class FloatBuffer {
 public:
  FloatBuffer() = default;
  explicit FloatBuffer(size_t n);
  float* data() { return reinterpret_cast<float*>(bytes_.data()); }
  const float* data() const { return reinterpret_cast<const float*>(bytes_.data()); }
  size_t size() const { return bytes_.bytes() / sizeof(float); }
  size_t bytes() const { return bytes_.bytes(); }
  float& operator[](size_t i) { return data()[i]; }
  float operator[](size_t i) const { return data()[i]; }

 private:
  AlignedBytes bytes_;
};

}  // namespace acd
