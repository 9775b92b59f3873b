// linear on 8-bit numbers: exact against the reference of the same codes, and as far from the
// product in f32 as the two roundings allow. Levels without VNNI must refuse.
#include <algorithm>
#include <cmath>
#include <limits>
#include <string>

#include "backend/cpu/isa.h"
#include "core/half.h"
#include "linear_cases.h"
#include "op_test.h"
#include "ops/linear/linear.h"
#include "ops/quantize/quantize.h"
#include "plain_f32.h"

using namespace acd;
using namespace acd::test;
using namespace acd::test::linear;

namespace {

const Variant kVariants[] = {{"linear int8", Activation::kNone, true, false},
                             {"linear int8 no bias", Activation::kNone, false, false},
                             {"linear int8 gelu", Activation::kGelu, true, false},
                             {"linear int8 quick gelu", Activation::kQuickGelu, true, false},
                             {"linear int8 leaky relu", Activation::kLeakyRelu, true, false},
                             {"linear int8 accumulate", Activation::kNone, true, true}};

struct Problem {
  Problem(const Case& c, const Variant& v, float scale = 2.0f)
      : c(c),
        v(v),
        xs{c.rows, c.k, round_up(c.k) + 4 * c.gap, c.batch,
           c.rows * (round_up(c.k) + 4 * c.gap) + 8},
        ys{c.rows, c.n, c.n + c.gap, c.batch, c.rows * (c.n + c.gap) + 3},
        x(noise(xs, 1, scale)),
        y(v.accumulate ? noise(ys, 2, scale) : Floats(ys.cells())),
        weight(noise(c.n * c.k, 3, 2.0f / std::sqrt(static_cast<float>(c.k)))),
        bias(noise(c.n, 4)) {
    encode();
  }

  static int64_t round_up(int64_t k) { return (k + 3) / 4 * 4; }

  // The codes of x; again after x was changed.
  void encode() {
    codes.assign(static_cast<size_t>(round_up(xs.cells())), 0xee);
    rows.resize(static_cast<size_t>(c.batch * c.rows));
    for (int64_t b = 0; b < c.batch; ++b) {
      quantize_ref({x.data() + b * xs.item, xs.ld, NumberType::kF32, codes.data() + b * xs.item,
                    xs.ld, rows.data() + b * c.rows, c.rows, c.k});
    }
  }
  LinearWeights weights(NumberType type = NumberType::kInt8) const {
    return {weight.data(), v.bias ? bias.data() : nullptr, c.n, c.k, type};
  }
  LinearParams params(void* out, const PackedLinear* packed) const {
    LinearParams p{codes.data(), xs.ld,        packed,  out,     ys.ld,  c.rows,
                   v.act,        v.accumulate, c.batch, xs.item, ys.item};
    p.x_rows = rows.data();
    return p;
  }

  Case c;
  Variant v;
  Extent xs, ys;
  Floats x, y, weight, bias;
  std::vector<uint8_t> codes;
  std::vector<RowScale> rows;
};

Floats run(const std::shared_ptr<Device>& device, const Problem& p) {
  auto packed = Linear::make(device, p.weights());
  REQUIRE(packed.ok());
  Floats y = p.y;
  REQUIRE(device->linear(p.params(y.data(), packed.value().packed())).ok());
  return y;
}

template <typename Fn>
Floats with(Fn fn, const Problem& p) {
  Floats y = p.y;
  fn(p.params(y.data(), nullptr), p.weights());
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

TEST_CASE("a level without 8-bit products refuses their weights and says why") {
  if (has_int8()) return;
  const Problem p({2, 64, 64}, kVariants[0]);
  const auto device = test_device(1);
  const Status refused = Linear::make(device, p.weights()).status();
  CHECK(refused.code() == Code::kUnsupported);
  CHECK(refused.message().find("AVX512-VNNI") != std::string::npos);
  CHECK(device->check_precision(Precision::kInt8).message() == refused.message());
}

TEST_CASE("linear int8 is as exact as a plain loop at every shape, activation and stride") {
  if (!has_int8()) return;
  const auto device = test_device(2);
  for (const Variant& v : kVariants) {
    for (const Case& c : kCases) check(device, Problem(c, v));
  }
}

TEST_CASE("linear int8 is as exact as a plain loop at every small width and depth") {
  if (!has_int8()) return;
  const auto device = test_device(1);
  for (int64_t n = 1; n <= 70; ++n) {
    check(device, Problem({n % 13 + 1, 71 - n, n, 1}, kVariants[static_cast<size_t>(n) % 6]));
  }
}

TEST_CASE("linear int8 stays exact for inputs of 1e4 and at the largest codes") {
  if (!has_int8()) return;
  const auto device = test_device(2);
  for (const Variant& v : kVariants) check(device, Problem({65, 64, 63}, v, 1e4f));
  // All products are 255 * 127, or -255 * 127: nothing saturates.
  for (float sign : {1.0f, -1.0f}) {
    Problem p({7, 4096, 66}, kVariants[0]);
    std::fill_n(p.weight.data(), p.weight.size(), sign);
    std::fill(p.codes.begin(), p.codes.end(), uint8_t{255});
    std::fill(p.rows.begin(), p.rows.end(), RowScale{0.5f, -1.0f});
    check(device, p);
  }
}

TEST_CASE("linear int8 is as far from the product in f32 as its roundings allow") {
  if (!has_int8()) return;
  const auto device = test_device(2);
  const Problem p({37, 300, 70, 1}, kVariants[0]);
  const Floats y = run(device, p);
  int64_t far = 0;
  for (int64_t r = 0; r < p.c.rows; ++r) {
    const double half_step = p.rows[static_cast<size_t>(r)].scale * 0.5;
    for (int64_t j = 0; j < p.c.n; ++j) {
      const float* w = p.weight.data() + j * p.c.k;
      const float* x = p.x.data() + r * p.xs.ld;
      double exact = p.bias[j], top = 0;
      for (int64_t k = 0; k < p.c.k; ++k) top = std::max(top, double{std::fabs(w[k])});
      const double half_weight = top / 127 * 0.5;
      double allowed = 1e-5;
      for (int64_t k = 0; k < p.c.k; ++k) {
        exact += double{x[k]} * w[k];
        allowed += half_step * std::fabs(w[k]) + (std::fabs(x[k]) + half_step) * half_weight;
      }
      far += !(std::fabs(y[r * p.ys.ld + j] - exact) <= allowed);
    }
  }
  CHECK(far == 0);
}

TEST_CASE("linear int8 rounds to bf16 what it gives in f32") {
  if (!has_int8()) return;
  const auto device = test_device(1);
  for (int64_t n : {1, 15, 16, 63, 64, 259}) {
    const Problem p({7, 65, n}, kVariants[2]);
    const Floats wide = run(device, p);
    auto packed = Linear::make(device, p.weights());
    REQUIRE(packed.ok());
    std::vector<uint16_t> narrow(static_cast<size_t>(7 * n + 1), 0x7a5a);
    LinearParams params = p.params(narrow.data(), packed.value().packed());
    params.y_type = NumberType::kBf16;
    REQUIRE(device->linear(params).ok());
    int64_t different = 0;
    for (int64_t i = 0; i < 7 * n; ++i)
      different += narrow[static_cast<size_t>(i)] != bf16_of_float(wide[i]);
    CHECK(different == 0);
    CHECK(narrow.back() == 0x7a5a);
  }
}

TEST_CASE("linear int8 gives the same bytes on any number of threads") {
  if (!has_int8()) return;
  for (const Variant& v : kVariants) {
    for (const Case& c : {Case{1, 7, 3}, Case{577, 17, 300, 2}, Case{65, 37, 259, 1, 3}}) {
      const Problem p(c, v);
      const Floats alone = run(test_device(1), p);
      for (int threads : {2, 3, 8}) CHECK(same_bytes(run(test_device(threads), p), alone));
    }
  }
}

TEST_CASE("linear int8 gives an item alone the bytes that it has in a batch") {
  if (!has_int8()) return;
  const auto device = test_device(2);
  const Problem all({290, 31, 259, 2, 3}, kVariants[2]);
  const Floats together = run(device, all);
  for (int64_t b = 0; b < all.c.batch; ++b) {
    Problem one({all.c.rows, all.c.k, all.c.n, all.c.gap, 1}, all.v);
    std::copy_n(all.x.data() + b * all.xs.item, one.x.size(), one.x.data());
    one.encode();
    const Floats alone = run(device, one);
    CHECK(std::equal(alone.data(), alone.data() + alone.size(), together.data() + b * all.ys.item));
  }
}

TEST_CASE("linear int8 passes a NaN on to its row and to no other") {
  if (!has_int8()) return;
  const auto device = test_device(2);
  for (const Variant& v : kVariants) {
    CAPTURE(v.name);
    Problem p({67, 33, 19, 1}, v);
    p.x[40 * p.xs.ld + 7] = std::numeric_limits<float>::quiet_NaN();
    p.encode();
    const Floats y = run(device, p);
    for (int64_t r = 0; r < p.c.rows; ++r) {
      const float* row = y.data() + r * p.ys.ld;
      CHECK((r == 40 ? all_nan(row, p.c.n) : all_finite(row, p.c.n)));
    }
  }
}

TEST_CASE("linear int8 of weights that are zero is the bias") {
  if (!has_int8()) return;
  Problem p({9, 21, 70}, kVariants[0]);
  std::fill_n(p.weight.data(), p.weight.size(), 0.0f);
  const Floats y = run(test_device(1), p);
  for (int64_t i = 0; i < y.size(); ++i) CHECK(y[i] == p.bias[i % 70]);
}
