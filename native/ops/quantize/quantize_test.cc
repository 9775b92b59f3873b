#include "ops/quantize/quantize.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "core/half.h"
#include "op_test.h"

using namespace acd;
using namespace acd::test;

namespace {

struct Case {
  int64_t rows, width;
  int64_t gap = 0;
};
const Case kCases[] = {{1, 1},      {3, 2, 1},    {7, 15, 3},    {5, 16},
                       {5, 17, 1},  {63, 63},     {64, 64, 5},   {65, 65},
                       {2, 127, 1}, {31, 768, 7}, {1369, 64, 1}, {1370, 61}};

constexpr uint8_t kGuard = 0xa7;
constexpr float kInfinity = std::numeric_limits<float>::infinity();

struct Codes {
  std::vector<uint8_t> y;
  std::vector<RowScale> rows;
};

struct Problem {
  explicit Problem(const Case& c, float scale = 2.0f)
      : c(c), xs{c.rows, c.width, c.width + c.gap}, x(noise(xs, 1, scale)) {}

  template <typename Fn>
  Codes run(Fn&& fn) const {
    Codes out{std::vector<uint8_t>(static_cast<size_t>((c.rows - 1) * ldy() + c.width), kGuard),
              std::vector<RowScale>(static_cast<size_t>(c.rows))};
    fn({x.data(), xs.ld, NumberType::kF32, out.y.data(), ldy(), out.rows.data(), c.rows, c.width});
    return out;
  }
  int64_t ldy() const { return c.width + 2 * c.gap; }

  Case c;
  Extent xs;
  Floats x;
};

Codes run(const Device& device, const Problem& p) {
  return p.run([&](const QuantizeParams& q) { REQUIRE(device.quantize(q).ok()); });
}

// Half a step, and what f32 loses on the way: a code before rounding is wrong by some 2^-23 of 255.
void check(const Device& device, const Problem& p) {
  CAPTURE(p.c.rows);
  CAPTURE(p.c.width);
  const Codes got = run(device, p), expected = p.run(quantize_ref);
  int64_t far = 0, stray = 0, steps = 0;
  for (int64_t r = 0; r < p.c.rows; ++r) {
    const auto [scale, low] = got.rows[static_cast<size_t>(r)];
    const RowScale want = expected.rows[static_cast<size_t>(r)];
    CHECK(low == want.low);
    CHECK(std::fabs(scale - want.scale) <= 0x1p-22f * want.scale);
    for (int64_t i = 0; i < p.c.width; ++i) {
      const auto at = static_cast<size_t>(r * p.ldy() + i);
      const double x = p.x[r * p.xs.ld + i];
      const double allowed = scale * (0.5 + 0x1p-13) + 0x1p-23 * std::fabs(x);
      far += !(std::fabs(low + double{scale} * got.y[at] - x) <= allowed);
      steps += std::abs(got.y[at] - expected.y[at]) > 1;
    }
    for (int64_t i = p.c.width; i < p.ldy() && r + 1 < p.c.rows; ++i)
      stray += got.y[static_cast<size_t>(r * p.ldy() + i)] != kGuard;
  }
  CHECK(far == 0);
  CHECK(steps == 0);
  CHECK(stray == 0);
}

}  // namespace

TEST_CASE("quantize is wrong by half a step at most, at every shape and stride") {
  const auto device = test_device(2);
  for (const Case& c : kCases) check(*device, Problem(c));
  for (int64_t width = 1; width <= 70; ++width) check(*device, Problem({3, width, 1}));
}

TEST_CASE("quantize stays within half a step for inputs of 1e30 and of 1e-30, and for an outlier") {
  const auto device = test_device(1);
  check(*device, Problem({9, 129, 1}, 1e30f));
  check(*device, Problem({9, 129, 1}, 1e-30f));
  Problem outlier({9, 768});
  for (int64_t r = 0; r < 9; ++r) outlier.x[r * 768 + 133] = r % 2 ? 1e4f : -1e4f;
  check(*device, outlier);
}

TEST_CASE("quantize uses the whole range: a row's ends are the codes 0 and 255") {
  Problem p({5, 67, 1});
  const Codes got = run(*test_device(1), p);
  for (int64_t r = 0; r < 5; ++r) {
    const uint8_t* y = got.y.data() + r * p.ldy();
    CHECK(*std::min_element(y, y + 67) == 0);
    CHECK(*std::max_element(y, y + 67) == 255);
  }
}

TEST_CASE("quantize gives a constant row back exactly") {
  for (float value : {0.0f, -3.25f, 1e-40f}) {
    Problem p({2, 37});
    for (int64_t i = 0; i < p.x.size(); ++i) p.x[i] = value;
    const Codes got = run(*test_device(1), p);
    for (const RowScale& row : got.rows) {
      CHECK(row.scale == 0.0f);
      CHECK(row.low == value);
    }
  }
}

TEST_CASE("quantize reads bf16 as the numbers that it stands for") {
  const auto device = test_device(1);
  for (int64_t width : {1, 15, 16, 67, 768}) {
    Problem p({3, width});
    std::vector<uint16_t> half;
    for (int64_t i = 0; i < p.x.size(); ++i) {
      half.push_back(bf16_of_float(p.x[i]));
      p.x[i] = float_of_bf16(half.back());
    }
    const Codes wide = run(*device, p);
    const Codes narrow = p.run([&](QuantizeParams q) {
      q.x = half.data();
      q.x_type = NumberType::kBf16;
      REQUIRE(device->quantize(q).ok());
    });
    CHECK(wide.y == narrow.y);
    for (size_t r = 0; r < 3; ++r) {
      CHECK(wide.rows[r].scale == narrow.rows[r].scale);
      CHECK(wide.rows[r].low == narrow.rows[r].low);
    }
  }
}

TEST_CASE("quantize gives the same bytes on any number of threads") {
  const Problem p({1370, 61, 1});
  const Codes alone = run(*test_device(1), p);
  for (int threads : {2, 3, 8}) CHECK(run(*test_device(threads), p).y == alone.y);
}

TEST_CASE("quantize marks a row that has no range, and no other") {
  const auto device = test_device(1);
  for (float bad : {std::numeric_limits<float>::quiet_NaN(), kInfinity, -kInfinity}) {
    for (int64_t at : {0, 17, 66}) {
      Problem p({5, 67});
      p.x[2 * 67 + at] = bad;
      p.x[4 * 67] = 3e38f;  // a span that f32 does not hold
      p.x[4 * 67 + 1] = -3e38f;
      const Codes got = run(*device, p);
      for (size_t r = 0; r < 5; ++r) {
        CHECK(std::isnan(got.rows[r].scale) == (r == 2 || r == 4));
        CHECK(std::isnan(got.rows[r].low) == (r == 2 || r == 4));
      }
    }
  }
}
