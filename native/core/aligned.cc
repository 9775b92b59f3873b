#include "core/aligned.h"

#include <sys/mman.h>

#include <atomic>
#include <cstdlib>
#include <new>

#include "core/checked.h"

namespace acd {
namespace {

constexpr size_t kHugePage = size_t{2} << 20;
std::atomic<size_t> g_live{0};
std::atomic<size_t> g_peak{0};
thread_local int64_t t_balance = 0;

}  // namespace

size_t live_bytes() { return g_live.load(std::memory_order_relaxed); }
size_t peak_bytes() { return g_peak.load(std::memory_order_relaxed); }
int64_t thread_balance() { return t_balance; }

uint8_t* allocate_bytes(size_t bytes) {
  if (bytes == 0) return nullptr;
  const bool huge = bytes >= 2 * kHugePage;
  void* p = nullptr;
  if (posix_memalign(&p, huge ? kHugePage : 64, bytes) != 0) throw std::bad_alloc();
#ifdef MADV_HUGEPAGE
  if (huge) madvise(p, bytes, MADV_HUGEPAGE);
#endif
  const size_t live = g_live.fetch_add(bytes, std::memory_order_relaxed) + bytes;
  t_balance += static_cast<int64_t>(bytes);
  size_t peak = g_peak.load(std::memory_order_relaxed);
  while (live > peak && !g_peak.compare_exchange_weak(peak, live)) {
  }
  return static_cast<uint8_t*>(p);
}

void release_bytes(void* memory, size_t bytes) {
  if (!memory) return;
  std::free(memory);
  g_live.fetch_sub(bytes, std::memory_order_relaxed);
  t_balance -= static_cast<int64_t>(bytes);
}

FloatBuffer::FloatBuffer(size_t n) {
  const auto bytes = checked_mul(n, sizeof(float));
  if (!bytes) throw std::bad_alloc();
  bytes_ = AlignedBytes(*bytes);
}

}  // namespace acd
