#include "ops/attention/attention.h"

#include <algorithm>
#include <limits>

#include "op_test.h"
#include "plain_f32.h"

using namespace acd;
using namespace acd::test;

namespace {

struct Case {
  int64_t batch, tokens, heads;
  bool causal = false;
};
const Case kCases[] = {{1, 1, 1},        {2, 2, 1},        {1, 7, 3},        {3, 23, 1},
                       {1, 24, 1},       {1, 25, 2},       {1, 63, 2},       {2, 64, 1},
                       {1, 65, 3},       {1, 127, 1},      {1, 129, 1},      {1, 1369, 1},
                       {1, 1, 1, true},  {3, 2, 2, true},  {2, 25, 1, true}, {1, 63, 1, true},
                       {1, 64, 1, true}, {1, 65, 1, true}, {3, 77, 2, true}, {1, 257, 1, true}};

struct Problem {
  explicit Problem(const Case& c, float scale = 2.0f)
      : c(c), width(c.heads * kHeadWidth), qkv(noise(c.batch * c.tokens * 3 * width, 1, scale)) {}
  AttentionParams params(Floats& out) const {
    return {qkv.data(), out.data(), c.batch, c.tokens, c.heads, c.causal};
  }
  Floats blank() const { return Floats(c.batch * c.tokens * width); }
  float& q(int64_t token, int64_t d) { return qkv[token * 3 * width + d]; }
  float& k(int64_t token, int64_t d) { return q(token, width + d); }
  float& v(int64_t token, int64_t d) { return q(token, 2 * width + d); }

  Case c;
  int64_t width;
  Floats qkv;
};

Floats run(const Device& device, const Problem& p) {
  Floats out = p.blank();
  REQUIRE(device.attention(p.params(out)).ok());
  return out;
}

void check(const char* name, const Device& device, const Problem& p) {
  CAPTURE(p.c.batch);
  CAPTURE(p.c.tokens);
  CAPTURE(p.c.heads);
  Floats expected = p.blank(), plain = p.blank();
  attention_ref(p.params(expected));
  plain_attention(p.params(plain));
  check_close(name, run(device, p), expected, plain);
}

}  // namespace

TEST_CASE("attention is as exact as a plain loop at every shape, with and without a causal mask") {
  const auto device = test_device(2);
  for (const Case& c : kCases) {
    check(c.causal ? "attention causal" : "attention", *device, Problem(c));
  }
}

TEST_CASE("attention is as exact as a plain loop at every small number of tokens") {
  const auto device = test_device(1);
  for (int64_t tokens = 1; tokens <= 140; ++tokens) {
    check("attention", *device, Problem({1, tokens, 1}));
    check("attention causal", *device, Problem({1, tokens, 1, true}));
  }
}

TEST_CASE("attention is as exact as a plain loop when few keys take all the weight") {
  const auto device = test_device(2);
  check("attention peaked", *device, Problem({1, 131, 2}, 12.0f));
  check("attention peaked", *device, Problem({1, 131, 2, true}, 12.0f));
}

TEST_CASE("attention of huge logits is finite and stays between the smallest and largest value") {
  for (bool causal : {false, true}) {
    Problem p({1, 131, 1, causal}, 1e4f);
    for (int64_t t = 0; t < 131; ++t) {
      for (int64_t d = 0; d < kHeadWidth; ++d) p.v(t, d) *= 1e-4f;
    }
    const Floats out = run(*test_device(1), p);
    CHECK(all_finite(out.data(), out.size()));
    CHECK(*std::max_element(out.data(), out.data() + out.size()) <= 1.001f);
    CHECK(*std::min_element(out.data(), out.data() + out.size()) >= -1.001f);
  }
}

TEST_CASE("attention gives the same bytes on any number of threads, however rows are split") {
  // One head and eight threads split the rows; many heads do not.
  for (const Case& c : {Case{1, 1370, 1}, Case{1, 577, 1, true}, Case{3, 65, 5}, Case{1, 3, 1}}) {
    const Problem p(c);
    check_same_bytes_on_any_threads([&](const Device& device) { return run(device, p); });
  }
}

TEST_CASE("attention gives an item alone the bytes that it has in a batch") {
  const auto device = test_device(3);
  const Problem all({3, 77, 2, true});
  const Floats together = run(*device, all);
  const int64_t item = all.c.tokens * all.width;
  for (int64_t b = 0; b < 3; ++b) {
    Problem one({1, 77, 2, true});
    std::copy_n(all.qkv.data() + b * 3 * item, 3 * item, one.qkv.data());
    const Floats alone = run(*device, one);
    CHECK(std::equal(alone.data(), alone.data() + item, together.data() + b * item));
  }
}

TEST_CASE("a causal row does not change when later tokens do") {
  const auto device = test_device(1);
  Problem p({1, 77, 1, true});
  const Floats before = run(*device, p);
  for (int64_t t = 50; t < 77; ++t) {
    for (int64_t d = 0; d < kHeadWidth; ++d) p.k(t, d) = p.v(t, d) = 1e3f;
  }
  const Floats after = run(*device, p);
  CHECK(std::equal(before.data(), before.data() + 50 * kHeadWidth, after.data()));
}

TEST_CASE("attention does not hide a NaN in a query, a key or a value") {
  const float nan = std::numeric_limits<float>::quiet_NaN();
  const auto device = test_device(1);
  for (int64_t at : {0, 37, 66}) {
    CAPTURE(at);
    Problem query({1, 67, 1}), key({1, 67, 1}), value({1, 67, 1});
    query.q(at, 5) = nan;
    key.k(at, 5) = nan;
    value.v(at, 5) = nan;
    const Floats by_query = run(*device, query), by_value = run(*device, value);
    const Floats by_key = run(*device, key);
    for (int64_t t = 0; t < 67; ++t) {
      const int64_t row = t * kHeadWidth;
      CHECK((t == at ? all_nan(&by_query.data()[row], 64) : all_finite(&by_query.data()[row], 64)));
      CHECK(all_nan(by_value.data() + row + 5, 1));
    }
    CHECK(all_nan(by_key.data(), by_key.size()));
  }
}
