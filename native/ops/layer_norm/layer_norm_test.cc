#include "ops/layer_norm/layer_norm.h"

#include <cmath>
#include <cstring>
#include <limits>

#include "op_test.h"
#include "plain_f32.h"

using namespace acd;
using namespace acd::test;

namespace {

struct Case {
  int64_t rows, width;
  int64_t gap = 0;
};
const Case kCases[] = {{1, 1},      {3, 2, 1}, {7, 15, 3}, {5, 16},      {5, 17, 1},    {63, 63},
                       {64, 64, 5}, {65, 65},  {2, 127},   {31, 768, 7}, {1369, 64, 1}, {1370, 61}};

struct Problem {
  explicit Problem(const Case& c, float scale = 2.0f)
      : c(c),
        xs{c.rows, c.width, c.width + c.gap},
        ys{c.rows, c.width, c.width + 2 * c.gap},
        x(noise(xs, 1, scale)),
        weight(noise(c.width, 2)),
        bias(noise(c.width, 3)) {}

  LayerNormParams params(Floats& y) const {
    return {x.data(), xs.ld, weight.data(), bias.data(), y.data(), ys.ld, c.rows, c.width};
  }

  Case c;
  Extent xs, ys;
  Floats x, weight, bias;
};

Floats run(const Device& device, const Problem& p) {
  Floats y(p.ys.cells());
  REQUIRE(device.layer_norm(p.params(y)).ok());
  return y;
}

void check(const char* name, const Device& device, const Problem& p) {
  CAPTURE(p.c.rows);
  CAPTURE(p.c.width);
  Floats expected(p.ys.cells()), plain(p.ys.cells());
  layer_norm_ref(p.params(expected));
  plain_layer_norm(p.params(plain));
  check_close(name, run(device, p), expected, plain);
}

}  // namespace

TEST_CASE("layer_norm is as exact as a plain loop at every shape and stride") {
  const auto device = test_device(2);
  for (const Case& c : kCases) check("layer_norm", *device, Problem(c));
}

TEST_CASE("layer_norm is as exact as a plain loop at every small width") {
  const auto device = test_device(1);
  for (int64_t width = 1; width <= 70; ++width)
    check("layer_norm", *device, Problem({3, width, 1}));
}

TEST_CASE("layer_norm stays exact and finite for inputs of 1e4 and for one outlier channel") {
  const auto device = test_device(2);
  check("layer_norm 1e4", *device, Problem({65, 768}, 1e4f));
  Problem outlier({9, 768, 1});
  for (int64_t r = 0; r < outlier.c.rows; ++r) outlier.x[r * outlier.xs.ld + 133] = 1e4f;
  check("layer_norm outlier", *device, outlier);
}

TEST_CASE("layer_norm of a constant row is the bias") {
  Problem p({3, 67});
  for (int64_t i = 0; i < p.x.size(); ++i) p.x[i] = 0.5f;
  const Floats y = run(*test_device(1), p);
  for (int64_t i = 0; i < y.size(); ++i) CHECK(y[i] == doctest::Approx(p.bias[i % 67]));
}

TEST_CASE("layer_norm in place gives the bytes that it gives out of place") {
  Problem p({65, 131});
  const auto device = test_device(2);
  const Floats apart = run(*device, p);
  REQUIRE(device->layer_norm(p.params(p.x)).ok());
  CHECK(same_bytes(p.x, apart));
}

TEST_CASE("layer_norm gives the same bytes on any number of threads") {
  for (const Case& c : {Case{3, 5}, Case{65, 768, 3}, Case{1370, 61, 1}}) {
    const Problem p(c);
    check_same_bytes_on_any_threads([&](const Device& device) { return run(device, p); });
  }
}

TEST_CASE("layer_norm passes a NaN on to its row and to no other") {
  const auto device = test_device(1);
  for (int64_t at : {0, 17, 66}) {
    Problem p({5, 67});
    p.x[2 * 67 + at] = std::numeric_limits<float>::quiet_NaN();
    const Floats y = run(*device, p);
    for (int64_t r = 0; r < 5; ++r) {
      CHECK((r == 2 ? all_nan(y.data() + r * 67, 67) : all_finite(y.data() + r * 67, 67)));
    }
  }
}

TEST_CASE("layer_norm to bf16 gives the f32 result, rounded to nearest") {
  const auto device = test_device(2);
  const auto to_bf16 = [&](const Problem& p) {
    Bf16s y(p.ys.cells());
    Floats unused(p.ys.cells());
    LayerNormParams params = p.params(unused);
    params.y = y.data();
    params.y_type = NumberType::kBf16;
    REQUIRE(device->layer_norm(params).ok());
    return y;
  };
  for (const Case& c : kCases) {
    const Problem p(c);
    CHECK(same_bytes(to_bf16(p), rounded(run(*device, p))));
  }
  for (int64_t width = 1; width <= 70; ++width) {
    const Problem p({3, width, 1}, 1e4f);
    CHECK(same_bytes(to_bf16(p), rounded(run(*device, p))));
  }
  Problem nan({2, 67});
  nan.x[5] = std::numeric_limits<float>::quiet_NaN();
  const Floats y = widened(to_bf16(nan));
  CHECK(all_nan(y.data(), 67));
  CHECK(all_finite(y.data() + 67, 67));
}

TEST_CASE("layer_norm as codes is its f32 output, wrong by half a step at most") {
  if (std::strcmp(test_device_name(), "cpu") != 0) return;
  const auto device = test_device(2);
  std::vector<Case> cases(std::begin(kCases), std::end(kCases));
  for (int64_t width = 1; width <= 40; ++width) cases.push_back({3, width, 1});
  for (const Case& c : cases) {
    CAPTURE(c.rows);
    CAPTURE(c.width);
    const Problem p(c);
    const Floats wide = run(*device, p);
    std::vector<uint8_t> codes(p.ys.cells(), 0xa7);
    std::vector<RowScale> rows(static_cast<size_t>(c.rows));
    LayerNormParams params = p.params(const_cast<Floats&>(wide));
    params.y = codes.data();
    params.y_type = NumberType::kInt8;
    params.y_rows = rows.data();
    REQUIRE(device->layer_norm(params).ok());
    int64_t far = 0, stray = 0;
    for (int64_t r = 0; r < c.rows; ++r) {
      const auto [scale, low] = rows[static_cast<size_t>(r)];
      for (int64_t i = 0; i < p.ys.ld && r * p.ys.ld + i < p.ys.cells(); ++i) {
        const int64_t at = r * p.ys.ld + i;
        const uint8_t code = codes[static_cast<size_t>(at)];
        if (i >= c.width)
          stray += code != 0xa7;
        else
          far += !(std::fabs(low + scale * code - wide[at]) <=
                   scale * 0.5001f + 0x1p-22f * std::fabs(wide[at]));
      }
    }
    CHECK(far == 0);
    CHECK(stray == 0);
  }
}
