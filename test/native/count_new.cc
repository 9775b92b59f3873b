#include "count_new.h"

#include <atomic>
#include <cstdlib>
#include <new>

namespace {
std::atomic<int64_t> large{0};
}  // namespace

int64_t acd::test::large_allocations() { return large.load(); }

namespace {

void* counted(size_t bytes) {
  if (bytes >= acd::test::kLargeBytes) ++large;
  return std::malloc(bytes ? bytes : 1);
}

}  // namespace

// The standard library's array forms call these; a sanitizer's do not, and free what they took.
// Every form of one object is replaced, or a sanitizer would see one of its own freed by one of
// ours.
void* operator new(size_t bytes) {
  if (void* memory = counted(bytes)) return memory;
  throw std::bad_alloc();
}
void* operator new(size_t bytes, const std::nothrow_t&) noexcept { return counted(bytes); }
void operator delete(void* memory) noexcept { std::free(memory); }
void operator delete(void* memory, size_t) noexcept { std::free(memory); }
void operator delete(void* memory, const std::nothrow_t&) noexcept { std::free(memory); }
