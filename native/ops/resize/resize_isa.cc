// Both passes are the same sum over rows: a vector holds one byte column of neighbouring outputs
// that share their weights. Down the picture that is how pixels lie in memory; along it, 16 rows
// are turned on their side first and the result is turned back, byte for byte in blocks of 16 x 16.
// Products of a byte and a 22-bit weight need 32 bits to be exact.
#include "ops/resize/resize_isa.h"

#include "backend/cpu/simd.h"

#if defined(__x86_64__)
#include <immintrin.h>
#endif

namespace acd {
namespace ACD_ISA {
namespace {

typedef uint8_t Bytes __attribute__((vector_size(kLanes)));
typedef uint8_t Block __attribute__((vector_size(16)));

constexpr int32_t kHalf = 1 << (kResizeFractionBits - 1);

// Intrinsics: of a conversion of bytes to 32 bits GCC 12 makes one instruction a lane. (With a
// mask, because its header leaves the plain one's unused operand unset and warns of that.)
inline VecI widen(const uint8_t* p) {
#if defined(ACD_ISA_avx512)
  return (VecI)_mm512_maskz_cvtepu8_epi32(0xffff,
                                          _mm_loadu_si128(reinterpret_cast<const __m128i*>(p)));
#elif defined(ACD_ISA_avx2)
  return (VecI)_mm256_cvtepu8_epi32(_mm_loadl_epi64(reinterpret_cast<const __m128i*>(p)));
#elif defined(__SSE4_1__)
  int32_t four;
  memcpy(&four, p, sizeof four);
  return (VecI)_mm_cvtepu8_epi32(_mm_cvtsi32_si128(four));
#else
  Bytes b;
  memcpy(&b, p, sizeof b);
  return __builtin_convertvector(b, VecI);
#endif
}

inline VecI splat_int(int32_t x) { return x - VecI{}; }

inline void store_rounded(uint8_t* p, VecI sum) {
  VecI v = sum >> kResizeFractionBits;
  v = v < 0 ? VecI{} : v;
  v = v > 255 ? splat_int(255) : v;
#if defined(ACD_ISA_avx2)
  // The low byte of each number: within each half, then the halves together.
  const __m256i low_bytes = _mm256_set1_epi32(0x0c080400);
  const __m256i packed = _mm256_shuffle_epi8((__m256i)v, low_bytes);
  const __m128i both =
      _mm_unpacklo_epi32(_mm256_castsi256_si128(packed), _mm256_extracti128_si256(packed, 1));
  _mm_storel_epi64(reinterpret_cast<__m128i*>(p), both);
#elif !defined(ACD_ISA_avx512) && defined(__SSE4_1__)
  const int32_t four = _mm_cvtsi128_si32(_mm_shuffle_epi8((__m128i)v, _mm_set1_epi32(0x0c080400)));
  memcpy(p, &four, sizeof four);
#else
  const Bytes b = __builtin_convertvector(v, Bytes);
  memcpy(p, &b, sizeof b);
#endif
}

inline uint8_t rounded(int32_t sum) {
  const int32_t v = sum >> kResizeFractionBits;
  return static_cast<uint8_t>(v < 0 ? 0 : v > 255 ? 255 : v);
}

// kVectors vectors of neighbouring bytes.
template <int kVectors>
inline void sum_rows(const uint8_t* rows, size_t row_bytes, const int32_t* k, int count,
                     uint8_t* out) {
  VecI sum[kVectors];
  for (int v = 0; v < kVectors; ++v) sum[v] = splat_int(kHalf);
  for (int t = 0; t < count; ++t, rows += row_bytes) {
    const VecI weight = splat_int(k[t]);
    for (int v = 0; v < kVectors; ++v) sum[v] += widen(rows + v * kLanes) * weight;
  }
  for (int v = 0; v < kVectors; ++v) store_rounded(out + v * kLanes, sum[v]);
}

inline Block low(Block a, Block b) {
  return __builtin_shuffle(a, b, Block{0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7, 23});
}
inline Block high(Block a, Block b) {
  return __builtin_shuffle(a, b,
                           Block{8, 24, 9, 25, 10, 26, 11, 27, 12, 28, 13, 29, 14, 30, 15, 31});
}

// Four perfect shuffles of 16 rows of 16 bytes are their transpose.
inline void transpose(Block* m) {
  for (int round = 0; round < 4; ++round) {
    Block next[16];
    for (int i = 0; i < 8; ++i) {
      next[2 * i] = low(m[i], m[i + 8]);
      next[2 * i + 1] = high(m[i], m[i + 8]);
    }
    for (int i = 0; i < 16; ++i) m[i] = next[i];
  }
}

// src [rows, n] -> dst [n, 16]; rows beyond the last repeat it.
inline void lay_down(const uint8_t* src, int rows, size_t n, uint8_t* dst) {
  const uint8_t* row[kResizeRows];
  for (int r = 0; r < kResizeRows; ++r)
    row[r] = src + static_cast<size_t>(r < rows ? r : rows - 1) * n;
  size_t j = 0;
  for (; j + 16 <= n; j += 16) {
    Block m[16];
    for (int r = 0; r < 16; ++r) memcpy(&m[r], row[r] + j, 16);
    transpose(m);
    memcpy(dst + j * 16, m, sizeof m);
  }
  for (; j < n; ++j) {
    for (int r = 0; r < kResizeRows; ++r) dst[j * 16 + r] = row[r][j];
  }
}

// src [n, 16] -> dst [rows, n]
inline void stand_up(const uint8_t* src, int rows, size_t n, uint8_t* dst) {
  size_t j = 0;
  for (; j + 16 <= n; j += 16) {
    Block m[16];
    memcpy(m, src + j * 16, sizeof m);
    transpose(m);
    for (int r = 0; r < rows; ++r) memcpy(dst + static_cast<size_t>(r) * n + j, &m[r], 16);
  }
  for (; j < n; ++j) {
    for (int r = 0; r < rows; ++r) dst[static_cast<size_t>(r) * n + j] = src[j * 16 + r];
  }
}

// One output pixel of 16 rows; its channels are 16 bytes apart.
template <int kChannels>
inline void sum_pixels(const ResizeTaps& axis, const uint8_t* flat, uint8_t* out) {
  for (int x = 0; x < axis.out; ++x, out += kChannels * kResizeRows) {
    sum_rows<kChannels * kResizeRows / kLanes>(
        flat + static_cast<size_t>(axis.first[x]) * kChannels * kResizeRows,
        kChannels * kResizeRows, axis.weights + static_cast<size_t>(x) * axis.taps, axis.count[x],
        out);
  }
}

}  // namespace

void resize_vertical_row(const uint8_t* rows, size_t row_bytes, const int32_t* k, int count,
                         uint8_t* out) {
  size_t j = 0;
  for (; j + 4 * kLanes <= row_bytes; j += 4 * kLanes)
    sum_rows<4>(rows + j, row_bytes, k, count, out + j);
  for (; j + kLanes <= row_bytes; j += kLanes) sum_rows<1>(rows + j, row_bytes, k, count, out + j);
  for (; j < row_bytes; ++j) {
    int32_t sum = kHalf;
    for (int t = 0; t < count; ++t) sum += rows[static_cast<size_t>(t) * row_bytes + j] * k[t];
    out[j] = rounded(sum);
  }
}

void resize_horizontal_block(const ResizeTaps& axis, const uint8_t* src, int w, int rows,
                             int channels, uint8_t* dst, uint8_t* scratch) {
  const size_t in = static_cast<size_t>(w) * channels;
  const size_t out = static_cast<size_t>(axis.out) * channels;
  uint8_t* const flat = scratch;
  uint8_t* const narrow = scratch + in * kResizeRows;
  lay_down(src, rows, in, flat);
  switch (channels) {
    case 1:
      sum_pixels<1>(axis, flat, narrow);
      break;
    case 2:
      sum_pixels<2>(axis, flat, narrow);
      break;
    case 3:
      sum_pixels<3>(axis, flat, narrow);
      break;
    default:
      sum_pixels<4>(axis, flat, narrow);
  }
  stand_up(narrow, rows, out, dst);
}

}  // namespace ACD_ISA
}  // namespace acd
