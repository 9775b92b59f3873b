#include "ops/linear/linear.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "op_test.h"
#include "plain_f32.h"

using namespace acd;
using namespace acd::test;

namespace {

struct Case {
  int64_t rows, k, n;
  int64_t gap = 0;  // cells between rows
  int64_t batch = 1;
};
// 288 rows and 256 columns are the tile; 1369 and 1370 are the tokens of a 518-pixel picture.
const Case kCases[] = {{1, 1, 1},        {1, 7, 3, 2},      {2, 64, 64},        {63, 65, 61, 3},
                       {64, 63, 65},     {65, 64, 63, 1},   {3, 257, 257, 5},   {288, 16, 256},
                       {289, 31, 17, 7}, {577, 17, 300},    {5, 13, 11, 3, 3},  {65, 37, 259, 1, 2},
                       {1369, 64, 127},  {1370, 61, 64, 3}, {290, 24, 31, 0, 2}};

struct Variant {
  const char* name;
  Activation act;
  bool bias, accumulate;
};
const Variant kVariants[] = {{"linear", Activation::kNone, true, false},
                             {"linear no bias", Activation::kNone, false, false},
                             {"linear gelu", Activation::kGelu, true, false},
                             {"linear quick gelu", Activation::kQuickGelu, true, false},
                             {"linear leaky relu", Activation::kLeakyRelu, true, false},
                             {"linear accumulate", Activation::kNone, true, true}};

struct Problem {
  Problem(const Case& c, const Variant& v, float scale = 2.0f)
      : c(c),
        v(v),
        xs{c.rows, c.k, c.k + c.gap, c.batch, c.rows * (c.k + c.gap) + 5},
        ys{c.rows, c.n, c.n + c.gap, c.batch, c.rows * (c.n + c.gap) + 3},
        x(noise(xs, 1, scale)),
        y(v.accumulate ? noise(ys, 2, scale) : Floats(ys.cells())),
        weight(noise(c.n * c.k, 3, 2.0f / std::sqrt(static_cast<float>(c.k)))),
        bias(noise(c.n, 4)) {}

  LinearWeights weights() const {
    return {weight.data(), v.bias ? bias.data() : nullptr, c.n, c.k};
  }
  LinearParams params(Floats& out, const PackedLinear* packed) const {
    return {x.data(), xs.ld,        packed,  out.data(), ys.ld,  c.rows,
            v.act,    v.accumulate, c.batch, xs.item,    ys.item};
  }

  Case c;
  Variant v;
  Extent xs, ys;
  Floats x, y, weight, bias;
};

Floats run(const std::shared_ptr<Device>& device, const Problem& p) {
  auto packed = Linear::make(device, p.weights());
  REQUIRE(packed.ok());
  Floats y = p.y;
  REQUIRE(device->linear(p.params(y, packed.value().packed())).ok());
  return y;
}

template <typename Fn>
Floats with(Fn fn, const Problem& p) {
  Floats y = p.y;
  fn(p.params(y, nullptr), p.weights());
  return y;
}

void check(const std::shared_ptr<Device>& device, const Problem& p) {
  CAPTURE(p.c.rows);
  CAPTURE(p.c.k);
  CAPTURE(p.c.n);
  CAPTURE(p.c.batch);
  check_close(p.v.name, run(device, p), with(linear_ref, p), with(plain_linear, p));
}

}  // namespace

TEST_CASE("linear is as exact as a plain loop at every shape, activation and stride") {
  const auto device = test_device(2);
  for (const Variant& v : kVariants) {
    for (const Case& c : kCases) check(device, Problem(c, v));
  }
}

TEST_CASE("linear is as exact as a plain loop at every small width and depth") {
  const auto device = test_device(1);
  for (int64_t n = 1; n <= 70; ++n) {
    check(device, Problem({3, 71 - n, n, 1}, kVariants[static_cast<size_t>(n) % 6]));
  }
}

TEST_CASE("linear stays exact and finite for inputs of 1e4") {
  const auto device = test_device(2);
  for (const Variant& v : kVariants) check(device, Problem({65, 64, 63}, v, 1e4f));
}

TEST_CASE("linear gives the same bytes on any number of threads") {
  for (const Variant& v : kVariants) {
    for (const Case& c : {Case{1, 7, 3}, Case{577, 17, 300, 2}, Case{65, 37, 259, 1, 3}}) {
      const Problem p(c, v);
      const Floats alone = run(test_device(1), p);
      for (int threads : {2, 3, 8}) CHECK(same_bytes(run(test_device(threads), p), alone));
    }
  }
}

TEST_CASE("linear gives an item alone the bytes that it has in a batch") {
  const auto device = test_device(2);
  const Problem all({290, 31, 259, 2, 3}, kVariants[2]);
  const Floats together = run(device, all);
  for (int64_t b = 0; b < all.c.batch; ++b) {
    Problem one({all.c.rows, all.c.k, all.c.n, all.c.gap, 1}, all.v);
    std::copy_n(all.x.data() + b * all.xs.item, one.x.size(), one.x.data());
    const Floats alone = run(device, one);
    CHECK(std::equal(alone.data(), alone.data() + alone.size(), together.data() + b * all.ys.item));
  }
}

TEST_CASE("linears of one tile shape but different widths do not mix up their weights") {
  const auto device = test_device(1);
  // All have a chunk of 256 columns, the same k and the same output stride.
  for (int64_t n : {256, 257, 512, 1024}) {
    check(device, Problem({64, 48, n, 1100 - n}, kVariants[0]));
  }
}

TEST_CASE("linear passes a NaN on to its row and to no other") {
  const auto device = test_device(2);
  for (const Variant& v : kVariants) {
    CAPTURE(v.name);
    Problem p({67, 33, 19, 1}, v);
    p.x[40 * p.xs.ld + 7] = std::numeric_limits<float>::quiet_NaN();
    const Floats y = run(device, p);
    for (int64_t r = 0; r < p.c.rows; ++r) {
      const float* row = y.data() + r * p.ys.ld;
      CHECK((r == 40 ? all_nan(row, p.c.n) : all_finite(row, p.c.n)));
    }
  }
}
