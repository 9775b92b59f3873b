#include "ops/conv_tokens/conv_tokens.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "op_test.h"
#include "plain_f32.h"

using namespace acd;
using namespace acd::test;

namespace {

struct Case {
  int64_t grid, c_in, c_out, k;
  int64_t groups = 1;
  int64_t batch = 1;
  int64_t gap = 0;
};
const Case kCases[] = {{1, 1, 1, 1},           {1, 3, 5, 7, 1, 2, 3},   {2, 8, 8, 3},
                       {2, 5, 17, 5, 1, 3, 1}, {3, 16, 33, 1},          {3, 2, 3, 7, 1, 1, 5},
                       {5, 16, 16, 5, 16},     {7, 8, 16, 3, 8, 2},     {5, 12, 6, 3, 3, 2, 1},
                       {9, 7, 7, 7, 7, 1, 2},  {37, 8, 8, 7, 1, 1, 40}, {37, 64, 64, 3, 64},
                       {37, 16, 8, 5}};

struct Problem {
  explicit Problem(const Case& c, float scale = 2.0f)
      : c(c),
        xs{c.grid * c.grid, c.c_in, c.c_in + c.gap, c.batch,
           c.grid * c.grid * (c.c_in + c.gap) + 7},
        ys{c.grid * c.grid, c.c_out, c.c_out + c.gap, c.batch,
           c.grid * c.grid * (c.c_out + c.gap) + 3},
        x(noise(xs, 1, scale)),
        weight(noise(c.c_out * c.c_in / c.groups * c.k * c.k, 2)) {}
  ConvTokensParams params(Floats& y) const {
    return {x.data(), xs.ld,  xs.item, weight.data(), y.data(), ys.ld,   ys.item,
            c.batch,  c.grid, c.c_in,  c.c_out,       c.k,      c.groups};
  }
  Floats blank() const { return Floats(ys.cells()); }

  Case c;
  Extent xs, ys;
  Floats x, weight;
};

Floats run(const Device& device, const Problem& p) {
  Floats y = p.blank();
  REQUIRE(device.conv_tokens(p.params(y)).ok());
  return y;
}

void check(const char* name, const Device& device, const Problem& p) {
  CAPTURE(p.c.grid);
  CAPTURE(p.c.c_in);
  CAPTURE(p.c.c_out);
  CAPTURE(p.c.k);
  CAPTURE(p.c.groups);
  Floats expected = p.blank(), plain = p.blank();
  conv_tokens_ref(p.params(expected));
  plain_conv_tokens(p.params(plain));
  check_close(name, run(device, p), expected, plain);
}

}  // namespace

TEST_CASE("conv_tokens is as exact as a plain loop, dense, grouped and depthwise") {
  const auto device = test_device(2);
  for (const Case& c : kCases) check("conv_tokens", *device, Problem(c));
}

TEST_CASE("conv_tokens is as exact as a plain loop at every small number of channels") {
  const auto device = test_device(1);
  for (int64_t c = 1; c <= 34; ++c) {
    check("conv_tokens", *device, Problem({3, 35 - c, c, 3, 1, 1, 1}));
    check("conv_tokens", *device, Problem({2, 2 * c, 2 * c, 5, c}));
  }
}

TEST_CASE("conv_tokens stays exact and finite for inputs of 1e4") {
  check("conv_tokens 1e4", *test_device(1), Problem({7, 16, 16, 5}, 1e4f));
}

TEST_CASE("conv_tokens with a single centre tap of one copies its input") {
  for (int64_t k : {1, 3, 5, 7}) {
    Problem p({4, 3, 3, k, 3});
    for (int64_t i = 0; i < p.weight.size(); ++i) p.weight[i] = i % (k * k) == k * k / 2;
    const Floats y = run(*test_device(1), p);
    CHECK(std::equal(y.data(), y.data() + y.size(), p.x.data()));
  }
}

TEST_CASE("conv_tokens gives the same bytes on any number of threads") {
  for (const Case& c : {Case{1, 3, 5, 3}, Case{37, 8, 16, 3, 1, 1, 3}, Case{7, 12, 6, 5, 3, 3}}) {
    const Problem p(c);
    check_same_bytes_on_any_threads([&](const Device& device) { return run(device, p); });
  }
}

TEST_CASE("conv_tokens gives an item alone the bytes that it has in a batch") {
  const auto device = test_device(2);
  const Problem all({5, 8, 17, 3, 1, 3, 2});
  const Floats together = run(*device, all);
  for (int64_t b = 0; b < 3; ++b) {
    Problem one({5, 8, 17, 3, 1, 1, 2});
    std::copy_n(all.x.data() + b * all.xs.item, one.x.size(), one.x.data());
    const Floats alone = run(*device, one);
    CHECK(std::equal(alone.data(), alone.data() + alone.size(), together.data() + b * all.ys.item));
  }
}

TEST_CASE("conv_tokens passes a NaN on to the tokens that its kernel reaches and to no other") {
  Problem p({9, 5, 7, 3});
  p.x[(4 * 9 + 4) * 5 + 2] = std::numeric_limits<float>::quiet_NaN();
  const Floats y = run(*test_device(1), p);
  for (int64_t t = 0; t < 81; ++t) {
    const bool reached = std::abs(t / 9 - 4) <= 1 && std::abs(t % 9 - 4) <= 1;
    CHECK((reached ? all_nan(y.data() + t * 7, 7) : all_finite(y.data() + t * 7, 7)));
  }
}
