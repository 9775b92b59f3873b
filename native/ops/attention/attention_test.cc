#include "ops/attention/attention.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <utility>
#include <vector>

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
  bool int8_scores = false;
};

Problem with_int8_scores(const Case& c, bool int8_scores = true) {
  Problem p(c);
  p.int8_scores = int8_scores;
  return p;
}

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

// ---------------------------------------------------------------------------------------- in bf16
//
// With the exact weights p_j (their sum is 1) and output o = sum p_j v_j, the kernel computes
// sum p'_j v_j / sum p'_j with p'_j = c p_j (1 + d_j), |d_j| <= d: rounding to bf16 gives 2^-8, the
// polynomial of 2^x 3e-6, and the score of key j, a sum of 64 exact products scaled and shifted in
// f32, changes the weight by 72 u A with u = 2^-24 and A the largest sum |q k| / 8. What all keys
// share (c) cancels. As sum p_j (v_j - o) = 0, the result is off by d / (1 - d) sum p_j |v_j - o|.
// Both sums over T keys round in f32: 2 (T + 4) u sum p_j |v_j|. The output is rounded to bf16
// once.
//
// With 8-bit scores q_d is off by half a step s of its token, k_d less the mean by half a step t of
// its 64 tokens, so a score by e = (s sum |k_d| + t sum |q_d| + 64 s t / 2) / 2 / 8, and a weight
// by e^e - 1.

namespace {

AttentionParams bf16_params(const Problem& p, const void* qkv, void* out) {
  return {qkv, out, p.c.batch, p.c.tokens, p.c.heads, p.c.causal, NumberType::kBf16, p.int8_scores};
}

Bf16s run_bf16(const Device& device, const Problem& p) {
  const Bf16s qkv = rounded(p.qkv);
  Bf16s out(p.c.batch * p.c.tokens * p.width);
  REQUIRE(device.attention(bf16_params(p, qkv.data(), out.data())).ok());
  return out;
}

// The keys of a head less their mean, [tokens, kHeadWidth], and the step of each.
struct CentredKeys {
  CentredKeys(const Problem& p, const float* head) : k(p.c.tokens * kHeadWidth) {
    const int64_t stride = 3 * p.width, tokens = p.c.tokens;
    for (int64_t d = 0; d < kHeadWidth; ++d) {
      double mean = 0;
      for (int64_t j = 0; j < tokens; ++j) mean += head[j * stride + p.width + d];
      mean /= static_cast<double>(tokens);
      for (int64_t j = 0; j < tokens; ++j)
        k[j * kHeadWidth + d] = static_cast<float>(head[j * stride + p.width + d] - mean);
    }
    for (int64_t j = 0; j < tokens; ++j) {
      double top = 0;
      const int64_t panel = j / 64 * 64;
      for (int64_t i = panel * kHeadWidth; i < std::min(tokens, panel + 64) * kHeadWidth; ++i)
        top = std::max(top, double{std::fabs(k[i])});
      step.push_back(top / 127);
    }
  }
  // The most that a score of q is off by. A thousandth is for what rounds in f32 on the way.
  double score_error(const float* q) const {
    double top = 0, sum = 0, worst = 0;
    for (int64_t d = 0; d < kHeadWidth; ++d) {
      top = std::max(top, double{std::fabs(q[d])});
      sum += std::fabs(q[d]);
    }
    for (size_t j = 0; j < step.size(); ++j) {
      double keys = 0;
      for (int64_t d = 0; d < kHeadWidth; ++d)
        keys += std::fabs(k[static_cast<int64_t>(j) * kHeadWidth + d]);
      const double s = top / 127, t = step[j];
      worst = std::max(worst, (s * keys + t * sum + 64 * s * t / 2) / 16);
    }
    return 1.001 * worst;
  }
  Floats k;
  std::vector<double> step;
};

struct Mode {
  bool causal, int8_scores;
};
const Mode kModes[] = {{false, false}, {true, false}, {false, true}};

// One row of one head: its exact output, and what it may be off by where a score is off by
// `score_error`.
void bf16_row(const Problem& p, const float* head, int64_t i, double score_error, float* o,
              float* allowed) {
  const int64_t stride = 3 * p.width, keys = p.c.causal ? i + 1 : p.c.tokens;
  const float* q = head + i * stride;
  std::vector<double> weight(static_cast<size_t>(keys));
  double top = -INFINITY, total = 0, size = 0;
  for (int64_t j = 0; j < keys; ++j) {
    const float* k = head + j * stride + p.width;
    double s = 0, a = 0;
    for (int64_t d = 0; d < kHeadWidth; ++d) {
      s += double{q[d]} * k[d];
      a += std::fabs(double{q[d]} * k[d]);
    }
    weight[static_cast<size_t>(j)] = s / 8;
    top = std::max(top, s / 8);
    size = std::max(size, a / 8);
  }
  for (double& w : weight) total += w = std::exp(w - top);
  const double rounded = kRoundoffBf16 + 3e-6 + 72 * kRoundoffF32 * size;
  const double off = rounded + (1 + rounded) * std::expm1(score_error);
  REQUIRE(off < 0.5);
  for (int64_t d = 0; d < kHeadWidth; ++d) {
    const float* v = head + 2 * p.width + d;
    double mean = 0, spread = 0, magnitude = 0;
    for (int64_t j = 0; j < keys; ++j)
      mean += weight[static_cast<size_t>(j)] / total * v[j * stride];
    for (int64_t j = 0; j < keys; ++j) {
      const double w = weight[static_cast<size_t>(j)] / total;
      spread += w * std::fabs(v[j * stride] - mean);
      magnitude += w * std::fabs(double{v[j * stride]});
    }
    const double e =
        off / (1 - off) * spread + 2 * static_cast<double>(keys + 4) * kRoundoffF32 * magnitude;
    o[d] = static_cast<float>(mean);
    allowed[d] = static_cast<float>(e + kRoundoffBf16 * (std::fabs(mean) + e) + 1e-30);
  }
}

// `exact_codes`: q and k are whole steps, so 8 bits lose nothing.
void check_bf16(const Device& device, const Problem& p, bool exact_codes = false) {
  CAPTURE(p.c.tokens);
  CAPTURE(p.c.heads);
  const Floats exact = widened(rounded(p.qkv));
  Floats expected = p.blank(), allowed = p.blank();
  for (int64_t b = 0; b < p.c.batch; ++b) {
    for (int64_t h = 0; h < p.c.heads; ++h) {
      const float* head = exact.data() + b * p.c.tokens * 3 * p.width + h * kHeadWidth;
      const CentredKeys keys(p, head);
      for (int64_t i = 0; i < p.c.tokens; ++i) {
        const int64_t to = (b * p.c.tokens + i) * p.width + h * kHeadWidth;
        const double error =
            p.int8_scores && !exact_codes ? keys.score_error(head + i * 3 * p.width) : 0;
        bf16_row(p, head, i, error, expected.data() + to, allowed.data() + to);
      }
    }
  }
  const char* scores =
      exact_codes ? "attention bf16, exact 8-bit scores" : "attention bf16, 8-bit scores";
  check_within(p.int8_scores ? scores
               : p.c.causal  ? "attention bf16 causal"
                             : "attention bf16",
               widened(run_bf16(device, p)), expected, allowed);
}

}  // namespace

TEST_CASE("attention in bf16 keeps its bound at every shape, with and without a causal mask") {
  if (!multiplies_bf16()) return;
  const auto device = test_device(2);
  for (const Case& c : kCases) check_bf16(*device, Problem(c));
  check_bf16(*device, Problem({1, 131, 2}, 12.0f));
  check_bf16(*device, Problem({1, 131, 2, true}, 12.0f));
}

TEST_CASE("attention in bf16 keeps its bound at every small number of tokens") {
  if (!multiplies_bf16()) return;
  const auto device = test_device(1);
  for (int64_t tokens = 1; tokens <= 140; ++tokens) {
    check_bf16(*device, Problem({1, tokens, 1}));
    check_bf16(*device, Problem({1, tokens, 1, true}));
  }
}

TEST_CASE("attention with 8-bit scores keeps its bound at every shape") {
  if (!multiplies_bf16()) return;
  const auto device = test_device(2);
  for (const Case& c : kCases) {
    if (!c.causal) check_bf16(*device, with_int8_scores(c));
  }
  for (int64_t tokens = 1; tokens <= 140; ++tokens)
    check_bf16(*device, with_int8_scores({1, tokens, 1}));
}

TEST_CASE("attention with 8-bit scores loses nothing where queries and keys are whole steps") {
  if (!multiplies_bf16()) return;
  for (int64_t tokens : {2, 64, 130, 258}) {
    Problem p = with_int8_scores({1, tokens, 1});
    const auto whole = [](float f) { return std::round(31.0f * f) / 32; };  // noise is up to 2
    for (int64_t t = 0; t < tokens; ++t) {
      for (int64_t d = 0; d < kHeadWidth; ++d) {
        p.q(t, d) = whole(p.q(t, d));
        // Keys in pairs that cancel: their mean is 0.
        p.k(t, d) = t % 2 == 0 ? whole(p.k(t, d)) : -p.k(t - 1, d);
      }
      p.q(t, t % kHeadWidth) = 127.0f / 32;
      p.k(t, 7) = t % 2 == 0 ? 127.0f / 32 : -127.0f / 32;
    }
    check_bf16(*test_device(1), p, true);
  }
}

TEST_CASE("attention with 8-bit scores does not see what all keys have in common") {
  if (!multiplies_bf16()) return;
  const auto device = test_device(1);
  Problem p = with_int8_scores({1, 131, 1}), moved = p;
  for (int64_t t = 0; t < 131; ++t) {
    for (int64_t d = 0; d < kHeadWidth; ++d) {
      p.k(t, d) = std::round(8 * p.k(t, d)) / 8;
      moved.k(t, d) = p.k(t, d) + (d % 2 == 0 ? 8.0f : -8.0f);
    }
  }
  const Floats before = widened(run_bf16(*device, p)), after = widened(run_bf16(*device, moved));
  for (int64_t i = 0; i < before.size(); ++i) REQUIRE(std::fabs(before[i] - after[i]) <= 0.01f);
}

TEST_CASE("attention_ref in bf16 is the exact result, rounded once") {
  const Problem p({2, 65, 2, true});
  const Bf16s qkv = rounded(p.qkv);
  Bf16s out(p.c.batch * p.c.tokens * p.width);
  attention_ref(bf16_params(p, qkv.data(), out.data()));
  Problem wide = p;
  wide.qkv = widened(qkv);
  Floats exact = p.blank();
  attention_ref(wide.params(exact));
  CHECK(same_bytes(out, rounded(exact)));
}

TEST_CASE("attention in bf16 of huge logits stays between the smallest and largest value") {
  if (!multiplies_bf16()) return;
  for (const Mode& mode : kModes) {
    Problem p({1, 131, 1, mode.causal}, 1e4f);
    p.int8_scores = mode.int8_scores;
    for (int64_t t = 0; t < 131; ++t) {
      for (int64_t d = 0; d < kHeadWidth; ++d) p.v(t, d) *= 1e-4f;
    }
    const Floats out = widened(run_bf16(*test_device(1), p));
    CHECK(all_finite(out.data(), out.size()));
    CHECK(*std::max_element(out.data(), out.data() + out.size()) <= 1.001f);
    CHECK(*std::min_element(out.data(), out.data() + out.size()) >= -1.001f);
  }
}

TEST_CASE("attention in bf16 gives the same bytes on any threads, and alone as in a batch") {
  if (!multiplies_bf16()) return;
  for (const Case& c : {Case{1, 1370, 1}, Case{1, 577, 1, true}, Case{3, 65, 5}, Case{1, 3, 1}}) {
    for (bool int8_scores : {false, true}) {
      if (c.causal && int8_scores) continue;
      const Problem p = with_int8_scores(c, int8_scores);
      check_same_bytes_on_any_threads([&](const Device& device) { return run_bf16(device, p); });
    }
  }
  for (const Mode& mode : kModes) {
    const Problem all = with_int8_scores({3, 77, 2, mode.causal}, mode.int8_scores);
    const Bf16s together = run_bf16(*test_device(3), all);
    const int64_t item = all.c.tokens * all.width;
    for (int64_t b = 0; b < 3; ++b) {
      Problem one = with_int8_scores({1, 77, 2, mode.causal}, mode.int8_scores);
      std::copy_n(all.qkv.data() + b * 3 * item, 3 * item, one.qkv.data());
      const Bf16s alone = run_bf16(*test_device(2), one);
      CHECK(std::equal(alone.data(), alone.data() + item, together.data() + b * item));
    }
  }
}

TEST_CASE("attention in bf16: a causal row does not change when later tokens do") {
  if (!multiplies_bf16()) return;
  Problem p({1, 77, 1, true});
  const Bf16s before = run_bf16(*test_device(1), p);
  for (int64_t t = 50; t < 77; ++t) {
    for (int64_t d = 0; d < kHeadWidth; ++d) p.k(t, d) = p.v(t, d) = 1e3f;
  }
  const Bf16s after = run_bf16(*test_device(1), p);
  CHECK(std::equal(before.data(), before.data() + 50 * kHeadWidth, after.data()));
}

TEST_CASE("attention in bf16 does not hide a NaN in a query, a key or a value") {
  if (!multiplies_bf16()) return;
  const float nan = std::numeric_limits<float>::quiet_NaN();
  const auto device = test_device(1);
  for (const auto& [at, int8_scores] :
       {std::pair{0, false}, {37, false}, {66, false}, {0, true}, {37, true}, {66, true}}) {
    CAPTURE(at);
    CAPTURE(int8_scores);
    Problem query = with_int8_scores({1, 67, 1}, int8_scores), key = query, value = query;
    query.q(at, 5) = nan;
    key.k(at, 5) = nan;
    value.v(at, 5) = nan;
    const Floats by_query = widened(run_bf16(*device, query));
    const Floats by_value = widened(run_bf16(*device, value));
    const Floats by_key = widened(run_bf16(*device, key));
    for (int64_t t = 0; t < 67; ++t) {
      const int64_t row = t * kHeadWidth;
      CHECK((t == at ? all_nan(&by_query.data()[row], 64) : all_finite(&by_query.data()[row], 64)));
      CHECK(all_nan(by_value.data() + row + 5, 1));
    }
    CHECK(all_nan(by_key.data(), by_key.size()));
  }
}
