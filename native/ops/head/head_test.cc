#include "ops/head/head.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "op_test.h"
#include "plain_f32.h"

using namespace acd;
using namespace acd::test;

namespace {

struct Case {
  int64_t tokens, width, k, columns;
  bool vectors = true;
  int64_t gap = 0;
  bool bias = true;
};
// Tokens go in tiles of 128.
const Case kCases[] = {{1, 2, 1, 2},     {3, 17, 7, 0},           {127, 64, 65, 2, true, 3},
                       {128, 63, 64, 6}, {129, 65, 63, 8, false}, {257, 300, 16, 1, true, 1, false},
                       {65, 768, 24, 6}, {1369, 96, 32, 8},       {1370, 61, 31, 0, true, 5}};

struct Output {
  Floats mean, dots, vectors;
};

struct Problem {
  explicit Problem(const Case& c, float scale = 2.0f)
      : c(c),
        hs{c.tokens, c.k, c.k + c.gap},
        h(noise(hs, 1, scale)),
        weight(noise(c.width * c.k, 2)),
        bias(noise(c.width, 3)),
        norm_weight(noise(c.width, 4)),
        norm_bias(noise(c.width, 5, 0.5f)),
        text(noise(c.columns * c.width, 6)) {}
  LinearWeights weights() const {
    return {weight.data(), c.bias ? bias.data() : nullptr, c.width, c.k};
  }
  HeadParams params(Output& out, const PackedLinear* packed) const {
    return {h.data(),
            hs.ld,
            packed,
            norm_weight.data(),
            norm_bias.data(),
            c.columns ? text.data() : nullptr,
            c.columns,
            out.mean.data(),
            c.columns ? out.dots.data() : nullptr,
            c.vectors ? out.vectors.data() : nullptr,
            c.tokens,
            c.width};
  }
  Output blank() const {
    return {Floats(c.width), Floats(c.tokens * c.columns), Floats(c.tokens * c.width)};
  }

  Case c;
  Extent hs;
  Floats h, weight, bias, norm_weight, norm_bias, text;
};

Output run(const std::shared_ptr<Device>& device, const Problem& p) {
  auto packed = Linear::make(device, p.weights());
  REQUIRE(packed.ok());
  Output out = p.blank();
  REQUIRE(device->head(p.params(out, packed.value().packed())).ok());
  return out;
}

void check(const std::shared_ptr<Device>& device, const Problem& p) {
  CAPTURE(p.c.tokens);
  CAPTURE(p.c.width);
  CAPTURE(p.c.k);
  Output expected = p.blank(), plain = p.blank();
  head_ref(p.params(expected, nullptr), p.weights());
  plain_head(p.params(plain, nullptr), p.weights());
  const Output actual = run(device, p);
  check_close("head mean", actual.mean, expected.mean, plain.mean);
  check_close("head dots", actual.dots, expected.dots, plain.dots);
  check_close("head vectors", actual.vectors, expected.vectors, plain.vectors);
}

}  // namespace

TEST_CASE("head is as exact as plain loops at every shape, with and without text and vectors") {
  const auto device = test_device(2);
  for (const Case& c : kCases) check(device, Problem(c));
}

TEST_CASE("head is as exact as plain loops at every small width") {
  const auto device = test_device(1);
  // Enough tokens that the plain loop's largest error is no accident; from five channels on, for
  // the norm of fewer, nearly equal ones makes one rounding of one token decide.
  for (int64_t width = 5; width <= 70; ++width) check(device, Problem({33, width, 5, 6}));
}

TEST_CASE("head stays exact and finite for inputs of 1e4") {
  check(test_device(2), Problem({65, 96, 32, 6}, 1e4f));
}

TEST_CASE("head keeps a token whose vector has no length at zero instead of NaN") {
  Problem p({5, 67, 9, 2});
  for (int64_t i = 0; i < 67; ++i) p.norm_weight[i] = p.norm_bias[i] = 0.0f;
  const Output out = run(test_device(1), p);
  for (const Floats* f : {&out.mean, &out.dots, &out.vectors}) {
    CHECK(std::all_of(f->data(), f->data() + f->size(), [](float v) { return v == 0.0f; }));
  }
}

TEST_CASE("head vectors have length one") {
  const Problem p({9, 131, 16, 0});
  const Output out = run(test_device(1), p);
  for (int64_t t = 0; t < 9; ++t) {
    double square = 0;
    for (int64_t i = 0; i < 131; ++i) square += std::pow(out.vectors[t * 131 + i], 2);
    CHECK(square == doctest::Approx(1.0).epsilon(1e-6));
  }
}

TEST_CASE("head gives the same bytes on any number of threads") {
  for (const Case& c : {Case{1, 17, 7, 2}, Case{1369, 96, 32, 6}, Case{257, 300, 16, 1}}) {
    const Problem p(c);
    const Output alone = run(test_device(1), p);
    for (int threads : {2, 3, 8}) {
      CAPTURE(threads);
      const Output out = run(test_device(threads), p);
      CHECK(same_bytes(out.mean, alone.mean));
      CHECK(same_bytes(out.dots, alone.dots));
      CHECK(same_bytes(out.vectors, alone.vectors));
    }
  }
}

TEST_CASE("head passes a NaN of one token on to its dots, its vector and the mean") {
  Problem p({130, 67, 9, 2});
  p.h[129 * 9 + 4] = std::numeric_limits<float>::quiet_NaN();
  const Output out = run(test_device(1), p);
  CHECK(all_nan(out.mean.data(), 67));
  CHECK(all_nan(out.dots.data() + 129 * 2, 2));
  CHECK(all_nan(out.vectors.data() + 129 * 67, 67));
  CHECK(all_finite(out.dots.data(), 129 * 2));
  CHECK(all_finite(out.vectors.data(), 129 * 67));
}

TEST_CASE("head of a batch gives each item the bytes that it has alone") {
  const int64_t batch = 3, tokens = 130, width = 67, k = 9, columns = 4;
  const int64_t item_h = tokens * (k + 2) + 5;
  const Problem one({tokens, width, k, columns});
  const Floats h = noise(batch * item_h, 7), text = noise(batch * columns * width, 8);
  for (int threads : {1, 3}) {
    const auto device = test_device(threads);
    auto packed = Linear::make(device, one.weights());
    REQUIRE(packed.ok());
    const auto blank = [&] {
      return Output{Floats(batch * 2 * width), Floats(batch * tokens * columns),
                    Floats(batch * tokens * width)};
    };
    Output together = blank(), alone = blank();
    const auto params = [&](Output& out) {
      HeadParams p = one.params(out, packed.value().packed());
      p.h = h.data();
      p.ldh = k + 2;
      p.text = text.data();
      p.batch = batch;
      p.batch_h = item_h;
      p.batch_text = columns * width;
      p.batch_mean = 2 * width;
      p.batch_dots = tokens * columns;
      p.batch_vectors = tokens * width;
      return p;
    };
    REQUIRE(device->head(params(together)).ok());
    for (int64_t b = 0; b < batch; ++b) REQUIRE(device->head(head_item(params(alone), b)).ok());
    CHECK(same_bytes(together.mean, alone.mean));
    CHECK(same_bytes(together.dots, alone.dots));
    CHECK(same_bytes(together.vectors, alone.vectors));
  }
}

// ---------------------------------------------------------------------------------------- in bf16
//
// Products of bf16 are exact in f32, so on numbers that were rounded before nothing but the order
// of sums differs from f32: the bound is f32's.

namespace {

Output run_bf16(const std::shared_ptr<Device>& device, const Problem& p) {
  LinearWeights weights = p.weights();
  weights.type = NumberType::kBf16;
  auto packed = Linear::make(device, weights);
  REQUIRE(packed.ok());
  Output out = p.blank();
  REQUIRE(device->head(p.params(out, packed.value().packed())).ok());
  return out;
}

}  // namespace

TEST_CASE("head in bf16 rounds what it multiplies and is as exact as f32 after that") {
  if (!test_device(1)->rounds_to_bf16()) return;
  const auto device = test_device(2);
  for (const Case& c : kCases) {
    CAPTURE(c.tokens);
    const Problem p(c);
    Problem exact = p;
    exact.h = widened(rounded(p.h));
    exact.weight = widened(rounded(p.weight));
    Output expected = p.blank(), plain = p.blank(), by_ref = p.blank();
    head_ref(exact.params(expected, nullptr), exact.weights());
    plain_head(exact.params(plain, nullptr), exact.weights());
    const Output actual = run_bf16(device, p);
    check_close("head mean bf16", actual.mean, expected.mean, plain.mean);
    check_close("head dots bf16", actual.dots, expected.dots, plain.dots);
    check_close("head vectors bf16", actual.vectors, expected.vectors, plain.vectors);
    LinearWeights weights = p.weights();
    weights.type = NumberType::kBf16;
    head_ref(p.params(by_ref, nullptr), weights);
    CHECK(same_bytes(by_ref.mean, expected.mean));
    CHECK(same_bytes(by_ref.vectors, expected.vectors));
  }
}

TEST_CASE("head in bf16 gives the same bytes on any number of threads, and a NaN stays one") {
  if (!test_device(1)->rounds_to_bf16()) return;
  Problem p({257, 300, 16, 1});
  p.h[129 * 16 + 4] = std::numeric_limits<float>::quiet_NaN();
  const Output alone = run_bf16(test_device(1), p);
  CHECK(all_nan(alone.vectors.data() + 129 * 300, 300));
  CHECK(all_finite(alone.vectors.data(), 129 * 300));
  for (int threads : {2, 3, 8}) {
    const Output out = run_bf16(test_device(threads), p);
    CHECK(same_bytes(out.dots, alone.dots));
    CHECK(same_bytes(out.vectors, alone.vectors));
  }
}
