#include "core/copy.h"

#include <algorithm>
#include <cstdint>
#include <cstring>

#if defined(__SSE2__)
#include <emmintrin.h>
#endif

namespace acd {

void copy_for_another_thread(void* to, const void* from, size_t bytes) {
#if defined(__SSE2__)
  constexpr size_t kSmall = 16384, kLine = 64, kAhead = 64 * kLine;
  if (bytes >= kSmall) {
    auto* t = static_cast<uint8_t*>(to);
    auto* f = static_cast<const uint8_t*>(from);
    const size_t head = (kLine - reinterpret_cast<uintptr_t>(t) % kLine) % kLine;
    std::memcpy(t, f, head);
    for (t += head, f += head, bytes -= head; bytes >= kLine;
         bytes -= kLine, t += kLine, f += kLine) {
      _mm_prefetch(reinterpret_cast<const char*>(f) + kAhead, _MM_HINT_T0);
      const auto* in = reinterpret_cast<const __m128i*>(f);
      auto* out = reinterpret_cast<__m128i*>(t);
      const __m128i a = _mm_loadu_si128(in), b = _mm_loadu_si128(in + 1);
      const __m128i c = _mm_loadu_si128(in + 2), d = _mm_loadu_si128(in + 3);
      _mm_stream_si128(out, a);
      _mm_stream_si128(out + 1, b);
      _mm_stream_si128(out + 2, c);
      _mm_stream_si128(out + 3, d);
    }
    _mm_sfence();
    to = t;
    from = f;
  }
#endif
  if (bytes) std::memcpy(to, from, bytes);
}

}  // namespace acd
