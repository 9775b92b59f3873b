#include "op_test.h"

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <map>
#include <random>

#include "backend/cpu/cpu_backend.h"
#include "core/half.h"
#include "emulated_cuda.h"

namespace acd::test {
namespace {

struct Worst {
  double relative = 0;  // error over the largest expected value
  double share = 0;     // error over what was allowed
};

std::map<std::string, Worst>& worst_errors() {
  static std::map<std::string, Worst> worst;
  return worst;
}

uint32_t bits_of(float f) {
  uint32_t bits;
  std::memcpy(&bits, &f, sizeof bits);
  return bits;
}

float guard_word() {
  float f;
  std::memcpy(&f, &kGuardBits, sizeof f);
  return f;
}

constexpr auto kGuardBf16 = static_cast<uint16_t>(kGuardBits >> 16);

bool is_guard(float f) { return bits_of(f) == kGuardBits; }

// Largest error over the cells that the reference wrote.
double largest_error(const Floats& value, const Floats& expected) {
  double worst = 0;
  for (size_t i = 0; i < expected.cells().size(); ++i) {
    if (is_guard(expected.cells()[i])) continue;
    worst = std::max(worst, std::fabs(double{value.cells()[i]} - expected.cells()[i]));
  }
  return worst;
}

double largest_value(const Floats& expected) {
  double largest = 0;
  for (float f : expected.cells()) {
    if (!is_guard(f)) largest = std::max(largest, std::fabs(double{f}));
  }
  return largest;
}

// Cells where the op wrote and the reference did not, and cells without a number.
void check_cells(const Floats& actual, const Floats& expected) {
  int64_t stray_writes = 0, not_finite = 0;
  for (size_t i = 0; i < expected.cells().size(); ++i) {
    if (is_guard(expected.cells()[i])) {
      stray_writes += !is_guard(actual.cells()[i]);
    } else {
      not_finite += !std::isfinite(actual.cells()[i]) || !std::isfinite(expected.cells()[i]);
    }
  }
  CHECK(stray_writes == 0);
  CHECK(not_finite == 0);
}

}  // namespace

Floats::Floats(int64_t n) : cells_(static_cast<size_t>(n + 2 * kGuardWords), guard_word()) {}

Bf16s::Bf16s(int64_t n) : cells_(static_cast<size_t>(n + 2 * kGuardWords), kGuardBf16) {}

Bf16s rounded(const Floats& f) {
  Bf16s h(f.size());
  for (int64_t i = 0; i < f.size(); ++i) {
    h.data()[i] = is_guard(f[i]) ? kGuardBf16 : bf16_of_float(f[i]);
  }
  return h;
}

Floats widened(const Bf16s& h) {
  Floats f(h.size());
  for (int64_t i = -kGuardWords; i < h.size() + kGuardWords; ++i) {
    f.data()[i] = h.data()[i] == kGuardBf16 ? guard_word() : float_of_bf16(h.data()[i]);
  }
  return f;
}

int64_t Extent::cells() const {
  return batch > 0 && rows > 0 ? (batch - 1) * item + (rows - 1) * ld + width : 0;
}

Floats noise(const Extent& e, unsigned seed, float scale) {
  std::mt19937 rng(seed);
  Floats f(e.cells());
  for (int64_t b = 0; b < e.batch; ++b) {
    for (int64_t r = 0; r < e.rows; ++r) {
      for (int64_t i = 0; i < e.width; ++i) {
        const float unit = static_cast<float>(rng() >> 8) * 0x1p-24f;
        f[b * e.item + r * e.ld + i] = scale * (2.0f * unit - 1.0f);
      }
    }
  }
  return f;
}

Floats noise(int64_t n, unsigned seed, float scale) { return noise(Extent{1, n, n}, seed, scale); }

const char* test_device_name() {
  const char* asked = std::getenv("ACD_TEST_DEVICE");
  for (const char* known : {"cpu", "cuda-emulated"}) {
    if (std::strcmp(asked ? asked : "cpu", known) == 0) return known;
  }
  return "";
}

std::shared_ptr<Device> test_device(int threads) {
  const bool is_emulated = std::strcmp(test_device_name(), "cuda-emulated") == 0;
  auto device = is_emulated ? make_emulated_cuda_device(threads) : make_cpu_device(threads);
  REQUIRE(device.ok());
  return device.value();
}

bool multiplies_bf16() { return test_device(1)->check_precision(Precision::kBf16).ok(); }

bool same_bytes(const Floats& a, const Floats& b) {
  return a.cells().size() == b.cells().size() &&
         std::memcmp(a.cells().data(), b.cells().data(), a.cells().size() * sizeof(float)) == 0;
}

bool same_bytes(const Bf16s& a, const Bf16s& b) { return a.cells() == b.cells(); }

bool all_finite(const float* values, int64_t n) {
  return std::all_of(values, values + n, [](float f) { return std::isfinite(f); });
}

bool all_nan(const float* values, int64_t n) {
  return std::all_of(values, values + n, [](float f) { return std::isnan(f); });
}

void check_close(const char* op, const Floats& actual, const Floats& expected,
                 const Floats& plain) {
  REQUIRE(actual.cells().size() == expected.cells().size());
  REQUIRE(plain.cells().size() == expected.cells().size());
  check_cells(actual, expected);
  const double error = largest_error(actual, expected);
  const double plain_error = largest_error(plain, expected);
  const double largest = largest_value(expected);
  const double allowed = std::max(kAllowedMultiple * plain_error, kFloorUlps * 0x1p-24 * largest);
  CAPTURE(std::string(op));
  CAPTURE(plain_error);
  CAPTURE(largest);
  CHECK(error <= allowed);
  Worst& worst = worst_errors()[op];
  if (largest > 0) worst.relative = std::max(worst.relative, error / largest);
  if (allowed > 0) worst.share = std::max(worst.share, error / allowed);
}

void check_within(const char* op, const Floats& actual, const Floats& expected,
                  const Floats& allowed) {
  REQUIRE(actual.cells().size() == expected.cells().size());
  REQUIRE(allowed.cells().size() == expected.cells().size());
  check_cells(actual, expected);
  Worst& worst = worst_errors()[op];
  const double largest = largest_value(expected);
  double share = 0;
  for (size_t i = 0; i < expected.cells().size(); ++i) {
    if (is_guard(expected.cells()[i])) continue;
    const double error = std::fabs(double{actual.cells()[i]} - expected.cells()[i]);
    if (error > 0) share = std::max(share, error / allowed.cells()[i]);
    if (largest > 0) worst.relative = std::max(worst.relative, error / largest);
  }
  CAPTURE(std::string(op));
  CHECK(share <= 1);
  worst.share = std::max(worst.share, share);
}

void print_worst_errors() {
  for (const auto& [op, worst] : worst_errors()) {
    std::printf("worst error of %-24s %.1e of the largest value, %3.0f%% of what is allowed\n",
                op.c_str(), worst.relative, 100 * worst.share);
  }
}

}  // namespace acd::test
