#include "count_new.h"

#include <atomic>
#include <cstdlib>
#include <new>

namespace {
std::atomic<int64_t> large{0};
}  // namespace

int64_t acd::test::large_allocations() { return large.load(); }

// The array and nothrow forms of the standard library call these two.
void* operator new(size_t bytes) {
  if (bytes >= acd::test::kLargeBytes) ++large;
  if (void* memory = std::malloc(bytes ? bytes : 1)) return memory;
  throw std::bad_alloc();
}
void operator delete(void* memory) noexcept { std::free(memory); }
void operator delete(void* memory, size_t) noexcept { std::free(memory); }
