// Memory for planes. glibc gives a freed plane back to the system, and taking it again costs page
// faults that were a third of the time of a sample; so each thread keeps the few that it freed
// last. Only addresses depend on it, never contents.
#pragma once

#include <array>
#include <cstddef>
#include <new>

namespace acd::datagen {

class BlockCache {
 public:
  static BlockCache& of_this_thread() {
    thread_local BlockCache cache;
    return cache;
  }
  void* take(size_t bytes) {
    for (Block& block : blocks_) {
      if (block.bytes != bytes) continue;
      void* memory = block.memory;
      block = {};
      return memory;
    }
    return ::operator new(bytes);
  }
  void give(void* memory, size_t bytes) noexcept {
    Block& block = blocks_[next_++ % blocks_.size()];
    ::operator delete(block.memory);
    block = {memory, bytes};
  }
  ~BlockCache() {
    for (const Block& block : blocks_) ::operator delete(block.memory);
  }

 private:
  struct Block {
    void* memory = nullptr;
    size_t bytes = 0;
  };
  std::array<Block, 48> blocks_;
  size_t next_ = 0;
};

template <typename T>
struct Recycled {
  using value_type = T;
  static constexpr size_t kSmall = 16384;

  Recycled() = default;
  template <typename U>
  Recycled(const Recycled<U>&) {}  // NOLINT: allocators convert

  T* allocate(size_t n) {
    const size_t bytes = n * sizeof(T);
    return static_cast<T*>(bytes < kSmall ? ::operator new(bytes)
                                          : BlockCache::of_this_thread().take(bytes));
  }
  void deallocate(T* memory, size_t n) noexcept {
    const size_t bytes = n * sizeof(T);
    if (bytes < kSmall) return ::operator delete(memory);
    BlockCache::of_this_thread().give(memory, bytes);
  }
  bool operator==(const Recycled&) const { return true; }
  bool operator!=(const Recycled&) const { return false; }
};

}  // namespace acd::datagen
