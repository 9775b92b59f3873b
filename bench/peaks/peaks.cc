// What this machine can do at most: multiply-adds a second in fp32, bf16 and int8 out of registers,
// and bytes a second of a copy that no cache holds. The ceilings of every fraction that bench
// prints.
//
//   acd_peaks THREADS [SECONDS]
//
// Answers each line of standard input, the name of a peak (fp32, bf16, int8, copy), with one line
// of JSON: {"name", "isa", "rate"} or {"name", "missing": why}. Kept open by bench/lib/peaks.mjs,
// so that a peak can be taken right before and after what is measured against it.
//
// Rates are GFLOP/s (2 x multiply-add), GOP/s for int8, GB/s (read + written) for copy. A product
// written with these instructions cannot be faster; tile units (AMX) are not measured here.
#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <functional>
#include <iostream>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#if defined(__x86_64__)
#include <immintrin.h>
#define ACD_PEAKS_X86 1
#endif

namespace {

// Independent sums, enough to hide the latency of every pipe that is known.
constexpr int kSums = 12;
constexpr int kRounds = 20000;

// Where the sums go, so that nothing is optimised away.
thread_local volatile float sink;

using Loop = double (*)();  // one piece of work; returns its operations

#define ACD_SUMS_LOOP(STEP)                                            \
  for (int round = 0; round < kRounds; ++round) {                      \
    _Pragma("GCC unroll 12") for (int j = 0; j < kSums; ++j) { STEP; } \
  }

#if ACD_PEAKS_X86

// Values that neither vanish nor overflow in the longest run.
float seeded(int i) { return 1e-3f * static_cast<float>((i * 37 + 11) % 29 - 14); }

__attribute__((target("sse2"))) double fp32_sse() {
  __m128 sums[kSums], a = _mm_set1_ps(seeded(1)), b = _mm_set1_ps(seeded(2));
  for (int j = 0; j < kSums; ++j) sums[j] = _mm_set1_ps(seeded(j));
  // The barrier keeps the product, which never changes, inside the loop.
  ACD_SUMS_LOOP(asm volatile("" : "+x"(a)); sums[j] = _mm_add_ps(sums[j], _mm_mul_ps(a, b)))
  for (const __m128& s : sums) sink = _mm_cvtss_f32(s);
  return 2.0 * 4 * kSums * kRounds;
}

__attribute__((target("avx2,fma"))) double fp32_avx2() {
  __m256 sums[kSums], a = _mm256_set1_ps(seeded(1)), b = _mm256_set1_ps(seeded(2));
  for (int j = 0; j < kSums; ++j) sums[j] = _mm256_set1_ps(seeded(j));
  ACD_SUMS_LOOP(sums[j] = _mm256_fmadd_ps(a, b, sums[j]))
  for (const __m256& s : sums) sink = _mm256_cvtss_f32(s);
  return 2.0 * 8 * kSums * kRounds;
}

__attribute__((target("avx512f"))) double fp32_avx512() {
  __m512 sums[kSums], a = _mm512_set1_ps(seeded(1)), b = _mm512_set1_ps(seeded(2));
  for (int j = 0; j < kSums; ++j) sums[j] = _mm512_set1_ps(seeded(j));
  ACD_SUMS_LOOP(sums[j] = _mm512_fmadd_ps(a, b, sums[j]))
  for (const __m512& s : sums) sink = _mm512_cvtss_f32(s);
  return 2.0 * 16 * kSums * kRounds;
}

__attribute__((target("avx512f,avx512bf16"))) double bf16_avx512() {
  const __m512 a = _mm512_set1_ps(seeded(1)), b = _mm512_set1_ps(seeded(2));
  const auto pairs_a = _mm512_cvtne2ps_pbh(a, b), pairs_b = _mm512_cvtne2ps_pbh(b, a);
  __m512 sums[kSums];
  for (int j = 0; j < kSums; ++j) sums[j] = _mm512_set1_ps(seeded(j));
  ACD_SUMS_LOOP(sums[j] = _mm512_dpbf16_ps(sums[j], pairs_a, pairs_b))
  for (const __m512& s : sums) sink = _mm512_cvtss_f32(s);
  return 2.0 * 32 * kSums * kRounds;
}

__attribute__((target("avx512f,avx512vnni"))) double int8_avx512() {
  const __m512i a = _mm512_set1_epi32(0x35a17c09), b = _mm512_set1_epi32(0x12f74ec3);
  __m512i sums[kSums];
  for (int j = 0; j < kSums; ++j) sums[j] = _mm512_set1_epi32(j);
  ACD_SUMS_LOOP(sums[j] = _mm512_dpbusd_epi32(sums[j], a, b))
  for (const __m512i& s : sums) sink = static_cast<float>(s[0]);
  return 2.0 * 64 * kSums * kRounds;
}

Loop fp32_loop(const char** isa) {
  if (__builtin_cpu_supports("avx512f")) return *isa = "avx512f", fp32_avx512;
  if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma"))
    return *isa = "avx2, fma", fp32_avx2;
  return *isa = "sse2, without fma", fp32_sse;
}
Loop bf16_loop(const char** isa) {
  return __builtin_cpu_supports("avx512bf16") ? (*isa = "avx512_bf16", bf16_avx512) : nullptr;
}
Loop int8_loop(const char** isa) {
  return __builtin_cpu_supports("avx512vnni") ? (*isa = "avx512_vnni", int8_avx512) : nullptr;
}

#else

Loop fp32_loop(const char**) { return nullptr; }
Loop bf16_loop(const char**) { return nullptr; }
Loop int8_loop(const char**) { return nullptr; }

#endif

using Clock = std::chrono::steady_clock;
double seconds_since(Clock::time_point start) {
  return std::chrono::duration<double>(Clock::now() - start).count();
}

// Work a second of `threads` threads that start together and go on for `seconds`.
double rate(int threads, double seconds, const std::function<double(int)>& piece) {
  std::atomic<int> waiting{threads};
  std::vector<double> rates(static_cast<size_t>(threads));
  const auto work = [&](int t) {
    piece(t);  // pages touched, clock raised
    --waiting;
    while (waiting > 0) std::this_thread::yield();
    const auto start = Clock::now();
    double done = 0, elapsed = 0;
    do {
      done += piece(t);
      elapsed = seconds_since(start);
    } while (elapsed < seconds);
    rates[static_cast<size_t>(t)] = done / elapsed;
  };
  std::vector<std::thread> others;
  for (int t = 1; t < threads; ++t) others.emplace_back(work, t);
  work(0);
  for (auto& thread : others) thread.join();
  double sum = 0;
  for (double r : rates) sum += r;
  return sum / 1e9;
}

double copy_rate(int threads, double seconds) {
  constexpr size_t kBytes = size_t{1} << 27;  // of each thread: far beyond any cache
  std::vector<std::unique_ptr<char[]>> from, to;
  for (int t = 0; t < threads; ++t) {
    from.emplace_back(new char[kBytes]);
    to.emplace_back(new char[kBytes]);
    for (size_t i = 0; i < kBytes; ++i) from.back()[i] = static_cast<char>(i * 2654435761u >> 13);
  }
  return rate(threads, seconds, [&](int t) {
    std::memcpy(to[static_cast<size_t>(t)].get(), from[static_cast<size_t>(t)].get(), kBytes);
    return 2.0 * kBytes;
  });
}

std::string answer(const std::string& name, int threads, double seconds) {
  const std::string head = "{\"name\":\"" + name + "\",";
  const auto found = [&](const char* isa, double r) {
    return head + "\"isa\":\"" + isa + "\",\"rate\":" + std::to_string(r) + "}";
  };
  if (name == "copy") return found("memcpy", copy_rate(threads, seconds));
  const char* isa = "";
  const Loop loop = name == "fp32"   ? fp32_loop(&isa)
                    : name == "bf16" ? bf16_loop(&isa)
                    : name == "int8" ? int8_loop(&isa)
                                     : nullptr;
  if (!loop) return head + "\"missing\":\"this processor has no such instruction\"}";
  return found(isa, rate(threads, seconds, [loop](int) { return loop(); }));
}

}  // namespace

int main(int argc, char** argv) {
  const int threads = argc > 1 ? std::max(1, std::atoi(argv[1])) : 1;
  const double seconds = argc > 2 ? std::atof(argv[2]) : 0.2;
  for (std::string name; std::getline(std::cin, name);)
    std::cout << answer(name, threads, seconds) << std::endl;
  return 0;
}
