#include "ops/linear/linear.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "core/half.h"
#include "linear_cases.h"
#include "op_test.h"
#include "plain_f32.h"

using namespace acd;
using namespace acd::test;
using namespace acd::test::linear;

namespace {

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
    for (const Case& c :
         {Case{1, 7, 3}, Case{577, 17, 300, 2}, Case{65, 37, 259, 1, 3}, Case{300, 512, 200, 16}}) {
      const Problem p(c, v);
      const Floats alone = run(test_device(1), p);
      for (int threads : {2, 3, 8}) CHECK(same_bytes(run(test_device(threads), p), alone));
    }
  }
}

TEST_CASE("linear gives an item alone the bytes that it has in a batch") {
  const auto device = test_device(2);
  for (const Case& c : {Case{290, 31, 259, 2, 3}, Case{290, 512, 97, 2, 3}}) {
    const Problem all(c, kVariants[2]);
    const Floats together = run(device, all);
    for (int64_t b = 0; b < c.batch; ++b) {
      Problem one({c.rows, c.k, c.n, c.gap, 1}, all.v);
      std::copy_n(all.x.data() + b * all.xs.item, one.x.size(), one.x.data());
      const Floats alone = run(device, one);
      const float* same = together.data() + b * all.ys.item;
      CHECK(std::equal(alone.data(), alone.data() + alone.size(), same));
    }
  }
}

TEST_CASE("linears of one tile shape but different widths do not mix up their weights") {
  const auto device = test_device(1);
  // All have whole tiles of columns, the same k and the same output stride.
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

TEST_CASE("linear of many rows passes a NaN on to its row, to one more of its item and no other") {
  const auto device = test_device(2);
  Problem p({290, 512, 101, 3, 2}, kVariants[0]);
  p.x[p.xs.item + 40 * p.xs.ld + 7] = std::numeric_limits<float>::quiet_NaN();
  const Floats y = run(device, p);
  int others = 0;
  for (int64_t b = 0; b < p.c.batch; ++b) {
    for (int64_t r = 0; r < p.c.rows; ++r) {
      const float* row = y.data() + b * p.ys.item + r * p.ys.ld;
      if (b == 1 && r == 40) {
        CHECK(all_nan(row, p.c.n));
      } else if (!all_finite(row, p.c.n)) {
        CHECK(b == 1);
        ++others;
      }
    }
  }
  CHECK(others <= 1);
}

// ---------------------------------------------------------------------------------------- in bf16
//
// y = round(act(s)), s = sum of k products + b [+ residual]. A product of two bf16 numbers is exact
// in f32, so s makes at most k + 3 roundings of f32, each of a partial sum no larger than
// S = sum |x w| + |b| + |residual|: |error of s| <= (k + 3) u S with u = 2^-24. GELU and QuickGELU
// steepen that by at most 1.13, and their own evaluation costs |s| 2^-20. An output in bf16 is
// rounded once more, by 2^-8 of itself at most.

namespace {

struct Bf16Run {
  Bf16Run(const Problem& p, bool bf16_out) : p(p), x(rounded(p.x)), bf16_out(bf16_out) {}

  LinearWeights weights() const {
    LinearWeights w = p.weights();
    w.type = NumberType::kBf16;
    return w;
  }
  LinearParams params(const void* from, void* to, NumberType y_type, const PackedLinear* packed,
                      Activation act) const {
    LinearParams l{from, p.xs.ld,        packed,    to,        p.ys.ld,  p.c.rows,
                   act,  p.v.accumulate, p.c.batch, p.xs.item, p.ys.item};
    l.y_type = y_type;
    return l;
  }
  Floats run(const std::shared_ptr<Device>& device) const {
    auto packed = Linear::make(device, weights());
    REQUIRE(packed.ok());
    Floats y = p.y;
    Bf16s half(p.y.size());
    void* to = bf16_out ? static_cast<void*>(half.data()) : y.data();
    const NumberType type = bf16_out ? NumberType::kBf16 : NumberType::kF32;
    REQUIRE(device->linear(params(x.data(), to, type, packed.value().packed(), p.v.act)).ok());
    return bf16_out ? widened(half) : y;
  }

  const Problem& p;
  Bf16s x;
  bool bf16_out;
};

// What a problem gives in bf16 before the result is rounded, and what an output in f32 may be off
// by. The reference is by far the slowest part here: it runs once for both types of output.
struct Bf16Expected {
  explicit Bf16Expected(const Problem& p) : y(exact(p, p.v.act)), allowed(y.size()) {
    const bool smooth = p.v.act == Activation::kGelu || p.v.act == Activation::kQuickGelu;
    const Floats sizes = magnitudes(p), s = smooth ? exact(p, Activation::kNone) : y;
    for (int64_t i = 0; i < y.size(); ++i) {
      allowed[i] = static_cast<double>(p.c.k + 3) * kRoundoffF32 * std::fabs(double{sizes[i]});
      if (smooth) allowed[i] = 1.13 * allowed[i] + 0x1p-20 * std::fabs(double{s[i]});
    }
  }
  // bf16 in f32: a product reads the same numbers, and the reference need not convert at each.
  static Floats exact(const Problem& p, Activation act) {
    const Floats x = widened(rounded(p.x)), w = widened(rounded(p.weight));
    Floats y = p.y;
    LinearParams params = p.params(y, nullptr);
    params.x = x.data();
    params.act = act;
    LinearWeights weights = p.weights();
    weights.weight = w.data();
    linear_ref(params, weights);
    return y;
  }
  // S of the comment above.
  static Floats magnitudes(const Problem& p) {
    Problem a = p;
    for (Floats* f : {&a.x, &a.weight, &a.bias}) {
      for (int64_t i = 0; i < f->size(); ++i) (*f)[i] = std::fabs((*f)[i]);
    }
    if (p.v.accumulate) {
      for (int64_t i = 0; i < a.y.size(); ++i) a.y[i] = std::fabs(a.y[i]);
    }
    return exact(a, Activation::kNone);
  }

  Floats y;
  std::vector<double> allowed;
};

void check_bf16(const std::shared_ptr<Device>& device, const Problem& p,
                std::initializer_list<bool> outputs) {
  CAPTURE(p.c.rows);
  CAPTURE(p.c.k);
  CAPTURE(p.c.n);
  const Bf16Expected expected(p);
  for (bool bf16_out : outputs) {
    CAPTURE(bf16_out);
    Floats allowed(expected.y.size());
    for (int64_t i = 0; i < allowed.size(); ++i) {
      double e = expected.allowed[static_cast<size_t>(i)];
      if (bf16_out) e += kRoundoffBf16 * (std::fabs(double{expected.y[i]}) + e);
      allowed[i] = static_cast<float>(e + 1e-30);
    }
    const std::string name = std::string(p.v.name) + (bf16_out ? " bf16" : " bf16 to f32");
    check_within(name.c_str(), Bf16Run(p, bf16_out).run(device), expected.y, allowed);
  }
}

}  // namespace

TEST_CASE("linear_ref in bf16 is the exact result of the rounded numbers, rounded once") {
  const Problem p({37, 65, 61, 3, 2}, kVariants[2]);
  const Bf16Run half(p, true);
  Bf16s y(p.y.size());
  linear_ref(half.params(half.x.data(), y.data(), NumberType::kBf16, nullptr, p.v.act),
             half.weights());
  CHECK(same_bytes(y, rounded(Bf16Expected::exact(p, p.v.act))));
}

TEST_CASE("linear in bf16 keeps its bound at every shape, activation and stride") {
  if (!multiplies_bf16()) return;
  const auto device = test_device(2);
  for (const Variant& v : kVariants) {
    for (const Case& c : kCases) {
      const Problem p(c, v);
      if (v.accumulate)
        check_bf16(device, p, {false});
      else
        check_bf16(device, p, {false, true});
    }
  }
}

TEST_CASE("activations in bf16 keep their bound at every finite number and at NaN") {
  if (!multiplies_bf16()) return;
  const auto device = test_device(1);
  for (const Variant& v : kVariants) {
    if (v.bias || v.accumulate) continue;
    for (Activation act : {Activation::kGelu, Activation::kQuickGelu, Activation::kLeakyRelu}) {
      CAPTURE(static_cast<int>(act));
      Problem p({65536, 1, 1}, v);
      p.v.act = act;
      p.weight[0] = 1.0f;
      for (int64_t i = 0; i < p.x.size(); ++i) p.x[i] = float_of_bf16(static_cast<uint16_t>(i));
      const Floats y = Bf16Run(p, false).run(device), narrow = Bf16Run(p, true).run(device);
      int64_t wrong = 0;
      for (int64_t i = 0; i < 65536; ++i) {
        const double x = p.x[i], exact = activated(act, x);
        // Subnormal numbers may count as zeros, which the floor allows.
        const double allowed = 0x1p-20 * std::fabs(x) + 1e-30;
        if (std::isnan(x))
          wrong += !std::isnan(y[i]) + !std::isnan(narrow[i]);
        else if (std::isfinite(x))
          wrong +=
              !(std::fabs(y[i] - exact) <= allowed) +
              !(std::fabs(narrow[i] - exact) <= 1.01 * allowed + kRoundoffBf16 * std::fabs(exact));
      }
      CHECK(wrong == 0);
    }
  }
}

TEST_CASE("linear in bf16 keeps its bound at every small width and depth") {
  if (!multiplies_bf16()) return;
  const auto device = test_device(1);
  for (int64_t n = 1; n <= 70; ++n) {
    const Problem p({3, 71 - n, n, 1}, kVariants[static_cast<size_t>(n) % 5]);
    check_bf16(device, p, {n % 2 == 0});
  }
}

TEST_CASE("linear in bf16 gives the same bytes on any number of threads and alone as in a batch") {
  if (!multiplies_bf16()) return;
  for (const Variant& v : kVariants) {
    const Problem all({290, 31, 259, 2, 3}, v);
    const Floats together = Bf16Run(all, !v.accumulate).run(test_device(1));
    for (int threads : {2, 3, 8})
      CHECK(same_bytes(Bf16Run(all, !v.accumulate).run(test_device(threads)), together));
    for (int64_t b = 0; b < all.c.batch; ++b) {
      Problem one({all.c.rows, all.c.k, all.c.n, all.c.gap, 1}, all.v);
      std::copy_n(all.x.data() + b * all.xs.item, one.x.size(), one.x.data());
      if (v.accumulate) std::copy_n(all.y.data() + b * all.ys.item, one.y.size(), one.y.data());
      const Floats alone = Bf16Run(one, !v.accumulate).run(test_device(2));
      CHECK(
          std::equal(alone.data(), alone.data() + alone.size(), together.data() + b * all.ys.item));
    }
  }
}

TEST_CASE("linear in bf16 passes a NaN on to its row and to no other") {
  if (!multiplies_bf16()) return;
  for (const Variant& v : kVariants) {
    CAPTURE(v.name);
    Problem p({67, 33, 19, 1}, v);
    p.x[40 * p.xs.ld + 7] = std::numeric_limits<float>::quiet_NaN();
    const Floats y = Bf16Run(p, !v.accumulate).run(test_device(2));
    for (int64_t r = 0; r < p.c.rows; ++r) {
      const float* row = y.data() + r * p.ys.ld;
      CHECK((r == 40 ? all_nan(row, p.c.n) : all_finite(row, p.c.n)));
    }
  }
}

TEST_CASE("linear that rounds f32 rows has the bytes of one that reads them as bf16") {
  if (!test_device(1)->rounds_to_bf16()) return;
  for (const Case& c : {Case{1, 7, 3}, Case{73, 40, 259, 0, 2}, Case{290, 31, 64, 3, 2}}) {
    Problem strided(c, kVariants[4]);
    strided.x[c.k / 2] = std::numeric_limits<float>::quiet_NaN();
    Problem dense({c.rows, c.k, c.n, 0, c.batch}, kVariants[4]);
    for (int64_t b = 0; b < c.batch; ++b) {
      for (int64_t r = 0; r < c.rows; ++r)
        std::copy_n(strided.x.data() + b * strided.xs.item + r * strided.xs.ld, c.k,
                    dense.x.data() + b * dense.xs.item + r * dense.xs.ld);
    }
    const Floats expected = Bf16Run(dense, false).run(test_device(1));
    for (int threads : {1, 3}) {
      const auto device = test_device(threads);
      auto packed = Linear::make(device, Bf16Run(dense, false).weights());
      REQUIRE(packed.ok());
      Floats y = dense.y;
      LinearParams params = dense.params(y, packed.value().packed());
      params.x = strided.x.data();
      params.ldx = strided.xs.ld;
      params.batch_x = strided.xs.item;
      params.round_x = true;
      REQUIRE(device->linear(params).ok());
      CHECK(same_bytes(y, expected));
    }
  }
}
