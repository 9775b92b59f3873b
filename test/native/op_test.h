// What every op test shares: inputs from a fixed seed, buffers that notice a stray write, and the
// one rule for errors.
//
// The rule: against a reference that accumulates in double, an op in float32 may be off by at most
// kAllowedMultiple times what a plain float32 loop (plain_f32.h) is off on the same input, or by
// kFloorUlps half-ulps of the largest value, whichever is more. The floor is for shapes so small
// that the plain loop makes no error at all. Where a shape has few outputs the largest error is
// partly luck: implementations of equal quality were seen 2 apart, so the multiple is 3.
//
// In bf16 an op is held against a bound of its own for every value, derived beside the test from
// how often the op rounds and to what (check_within).
#pragma once

#include <doctest/doctest.h>

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "backend/device.h"

namespace acd::test {

constexpr double kAllowedMultiple = 3.0;
constexpr double kFloorUlps = 4.0;

// About -1.6e30: a sum that reads one is far off, and no arithmetic gives these bits again.
constexpr uint32_t kGuardBits = 0xf1a5a5a5;
#if defined(__SANITIZE_ADDRESS__)
constexpr int64_t kGuardWords = 0;  // the sanitizer's own guards also see reads
#else
constexpr int64_t kGuardWords = 33;  // odd: what follows is not aligned to any vector
#endif

// Largest relative error of rounding to a type with 24 (f32) or 8 (bf16) significant bits.
constexpr double kRoundoffF32 = 0x1p-24;
constexpr double kRoundoffBf16 = 0x1p-8;

// n floats between guard words. Cells that nobody fills hold the guard word too.
class Floats {
 public:
  Floats() : Floats(0) {}
  explicit Floats(int64_t n);
  float* data() { return cells_.data() + kGuardWords; }
  const float* data() const { return cells_.data() + kGuardWords; }
  int64_t size() const { return static_cast<int64_t>(cells_.size()) - 2 * kGuardWords; }
  float& operator[](int64_t i) { return data()[i]; }
  float operator[](int64_t i) const { return data()[i]; }
  // Guards included, cell by cell.
  const std::vector<float>& cells() const { return cells_; }

 private:
  std::vector<float> cells_;
};

// The same for bf16.
class Bf16s {
 public:
  explicit Bf16s(int64_t n);
  uint16_t* data() { return cells_.data() + kGuardWords; }
  const uint16_t* data() const { return cells_.data() + kGuardWords; }
  int64_t size() const { return static_cast<int64_t>(cells_.size()) - 2 * kGuardWords; }
  const std::vector<uint16_t>& cells() const { return cells_; }

 private:
  std::vector<uint16_t> cells_;
};

// To the nearest bf16, and back; guards stay guards.
Bf16s rounded(const Floats& f);
Floats widened(const Bf16s& h);

// [batch, rows, width]; rows lie `ld` apart and items `item` apart. Cells between them belong to
// nobody and end the buffer as early as they can: nothing follows the last row.
struct Extent {
  int64_t rows;
  int64_t width;
  int64_t ld;
  int64_t batch = 1;
  int64_t item = 0;
  int64_t cells() const;
};

// Uniform in [-scale, scale]; the same on every machine.
Floats noise(int64_t n, unsigned seed, float scale = 1.0f);
// Fills the rows; what lies between keeps the guard word.
Floats noise(const Extent& e, unsigned seed, float scale = 1.0f);

// The device that ACD_TEST_DEVICE names: cpu (also when unset), or cuda-emulated, whose kernels run
// on the CPU. threads: the CPU's; for emulated kernels the order in which their threads take turns
// (cuda_emulator.h), so that what must not depend on the one must not depend on the other.
std::shared_ptr<Device> test_device(int threads);
// Whether products of bf16 numbers run on it, at the level in use.
bool multiplies_bf16();
// "cpu" or "cuda-emulated"; empty for a name that means nothing.
const char* test_device_name();

bool same_bytes(const Floats& a, const Floats& b);
bool same_bytes(const Bf16s& a, const Bf16s& b);
bool all_finite(const float* values, int64_t n);
bool all_nan(const float* values, int64_t n);

// The rule above, over whole buffers. A cell that the reference left alone must have been left
// alone; a NaN or an infinity fails. Pass `expected` as `plain` for ops that compute in double.
void check_close(const char* op, const Floats& actual, const Floats& expected, const Floats& plain);

// Every value at most allowed[i] away from expected[i], and guards as in check_close.
void check_within(const char* op, const Floats& actual, const Floats& expected,
                  const Floats& allowed);

// Prints the worst error of every op that check_close saw.
void print_worst_errors();

// run(device) gives the op's output: the same bytes on 1, 2, 3 and 8 threads.
template <typename Run>
void check_same_bytes_on_any_threads(Run&& run) {
  const auto alone = run(*test_device(1));
  for (int threads : {2, 3, 8}) {
    CAPTURE(threads);
    CHECK(same_bytes(run(*test_device(threads)), alone));
  }
}

}  // namespace acd::test
