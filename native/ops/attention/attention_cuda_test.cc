// attention on tensor cores, which the op's own tests do not reach: they are f32.
#include "ops/attention/attention_cuda.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "device_numbers.h"
#include "emulated_cuda.h"

using namespace acd;
using namespace acd::test;
using cuda::Number;

namespace {

struct Case {
  int64_t batch, tokens, heads;
  bool causal = false;
};

// 64 keys and 128 queries are the blocks.
const Case kCases[] = {{1, 1, 1},         {2, 2, 1},        {1, 7, 3},        {1, 63, 2},
                       {1, 64, 1},        {2, 65, 1},       {1, 127, 1},      {1, 128, 1},
                       {1, 129, 2},       {1, 300, 1},      {1, 1, 1, true},  {2, 25, 2, true},
                       {1, 64, 1, true},  {1, 65, 1, true}, {3, 77, 2, true}, {1, 128, 1, true},
                       {1, 129, 1, true}, {1, 200, 1, true}};

struct Problem {
  explicit Problem(const Case& c, float scale = 2.0f, Number type = Number::kBf16)
      : c(c),
        width(c.heads * kHeadWidth),
        type(type),
        qkv(rounded(type, noise(c.batch * c.tokens * 3 * width, 1, scale))) {}
  AttentionParams params(Floats& out) const {
    return {qkv.data(), out.data(), c.batch, c.tokens, c.heads, c.causal};
  }
  Floats blank() const { return Floats(c.batch * c.tokens * width); }
  float& at(int64_t token, int64_t column) { return qkv[token * 3 * width + column]; }
  Case c;
  int64_t width;
  Number type;
  Floats qkv;
};

Floats run(const Problem& p, int order = 1) {
  const DeviceNumbers qkv(p.type, p.qkv);
  DeviceNumbers out(p.type, p.blank());
  set_thread_order(order);
  cuda::AttentionArgs a = {qkv.data(), out.data(), p.c.batch, p.c.tokens, p.c.heads, p.c.causal};
  a.type = p.type;
  REQUIRE(cuda::attention(nullptr, a) == 0);
  return out.floats();
}

// The plain loop in the same types: weights rounded before their product with v.
void plain_attention_half(const Problem& p, Floats& out) {
  std::vector<float> s(static_cast<size_t>(p.c.tokens));
  for (int64_t row = 0; row < p.c.batch * p.c.tokens * p.c.heads; ++row) {
    const int64_t h = row % p.c.heads, i = row / p.c.heads % p.c.tokens;
    const int64_t b = row / p.c.heads / p.c.tokens;
    const float* base = p.qkv.data() + b * p.c.tokens * 3 * p.width + h * kHeadWidth;
    const int64_t keys = p.c.causal ? i + 1 : p.c.tokens;
    float top = -INFINITY, total = 0;
    for (int64_t j = 0; j < keys; ++j) {
      s[j] = 0;
      for (int64_t d = 0; d < kHeadWidth; ++d)
        s[j] += base[i * 3 * p.width + d] * base[j * 3 * p.width + p.width + d];
      top = std::max(top, s[j] *= 0.125f);
    }
    for (int64_t j = 0; j < keys; ++j) total += s[j] = std::exp(s[j] - top);
    for (int64_t d = 0; d < kHeadWidth; ++d) {
      float o = 0;
      for (int64_t j = 0; j < keys; ++j)
        o += rounded(p.type, s[j]) * base[j * 3 * p.width + 2 * p.width + d];
      out[(b * p.c.tokens + i) * p.width + h * kHeadWidth + d] = o / total;
    }
  }
}

void check(const char* name, const Problem& p) {
  CAPTURE(p.c.tokens);
  CAPTURE(p.c.heads);
  Floats expected = p.blank(), plain = p.blank();
  attention_ref(p.params(expected));
  plain_attention_half(p, plain);
  check_close(name, run(p), expected, rounded(p.type, plain));
}

}  // namespace

TEST_CASE("attention on tensor cores is as exact as a plain bf16 loop at every shape") {
  for (const Case& c : kCases) {
    check(c.causal ? "attention bf16 causal" : "attention bf16", Problem(c));
  }
}

TEST_CASE("attention on tensor cores is as exact as a plain loop in f16") {
  for (const Case& c : {Case{1, 63, 2}, Case{2, 130, 1}, Case{1, 77, 2, true}}) {
    check("attention f16", Problem(c, 2.0f, Number::kF16));
  }
}

TEST_CASE("attention on tensor cores is as exact as a plain bf16 loop for peaked weights") {
  check("attention bf16 peaked", Problem({1, 131, 2}, 12.0f));
  check("attention bf16 peaked", Problem({1, 131, 2, true}, 12.0f));
}

TEST_CASE("attention on tensor cores does not depend on the order of threads") {
  // 64 keys are one block: its reading and the gathering of outputs share memory.
  for (const Case& c : {Case{1, 200, 1}, Case{1, 64, 1}, Case{2, 77, 2, true}}) {
    const Problem p(c);
    const Floats forward = run(p);
    for (int order : {2, 3, 8}) CHECK(same_bytes(run(p, order), forward));
  }
}

TEST_CASE("attention on tensor cores of huge scores is finite and stays among the values") {
  for (bool causal : {false, true}) {
    Problem p({1, 131, 1, causal}, 1e4f);
    for (int64_t t = 0; t < 131; ++t) {
      for (int64_t d = 0; d < kHeadWidth; ++d) p.at(t, 2 * p.width + d) *= 1e-4f;
    }
    const Floats out = run(p);
    CHECK(all_finite(out.data(), out.size()));
    CHECK(*std::max_element(out.data(), out.data() + out.size()) <= 1.01f);
    CHECK(*std::min_element(out.data(), out.data() + out.size()) >= -1.01f);
  }
}

TEST_CASE("attention on tensor cores does not hide a NaN") {
  const float nan = std::numeric_limits<float>::quiet_NaN();
  for (int64_t at : {0, 37, 66}) {
    Problem query({1, 67, 1}), key({1, 67, 1}), value({1, 67, 1});
    query.at(at, 5) = nan;
    key.at(at, 64 + 5) = nan;
    value.at(at, 128 + 5) = nan;
    const Floats by_query = run(query), by_key = run(key), by_value = run(value);
    for (int64_t t = 0; t < 67; ++t) {
      const float* row = by_query.data() + t * kHeadWidth;
      CHECK((t == at ? all_nan(row, 64) : all_finite(row, 64)));
      CHECK(all_nan(by_value.data() + t * kHeadWidth + 5, 1));
    }
    CHECK(all_nan(by_key.data(), by_key.size()));
  }
}
