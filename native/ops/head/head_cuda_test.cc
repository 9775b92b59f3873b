// Several items at once and a product in bf16, which the op's own tests do not reach.
#include "ops/head/head_cuda.h"

#include <algorithm>

#include "device_numbers.h"
#include "ops/head/head.h"
#include "plain_f32.h"

using namespace acd;
using namespace acd::test;
using cuda::Number;

namespace {

struct Case {
  int64_t tokens, width, columns, batch;
  Number type;
};

// Widths of all the kernel's instances; more tokens than a block's 32.
const Case kCases[] = {{33, 70, 6, 3, Number::kF32},  {70, 70, 8, 2, Number::kBf16},
                       {5, 500, 4, 2, Number::kBf16}, {5, 768, 8, 2, Number::kBf16},
                       {5, 1000, 2, 1, Number::kF32}, {3, 1280, 12, 2, Number::kF32},
                       {3, 1536, 2, 1, Number::kBf16}};

struct Output {
  Floats mean, dots, vectors;
};

struct Problem {
  explicit Problem(const Case& c)
      : c(c),
        ys{c.tokens, c.width, c.width + 3, c.batch, c.tokens * (c.width + 3) + 5},
        y(rounded(c.type, noise(ys, 1, 2.0f))),
        bias(noise(c.width, 2)),
        norm_weight(noise(c.width, 3)),
        norm_bias(noise(c.width, 4, 0.5f)),
        text(noise(c.batch * c.columns * c.width, 5)) {}
  Output blank() const {
    return {Floats(c.batch * c.width), Floats(c.batch * c.tokens * c.columns),
            Floats(c.batch * c.tokens * c.width)};
  }
  Case c;
  Extent ys;
  Floats y, bias, norm_weight, norm_bias, text;
};

// Item by item, the product with the unit matrix.
template <typename Head>
Output with(Head head, const Problem& p) {
  const int64_t n = p.c.width;
  std::vector<float> unit(static_cast<size_t>(n * n), 0.0f);
  for (int64_t i = 0; i < n; ++i) unit[static_cast<size_t>(i * n + i)] = 1;
  Output out = p.blank();
  for (int64_t b = 0; b < p.c.batch; ++b) {
    HeadParams h = {};
    h.h = p.y.data() + b * p.ys.item;
    h.ldh = p.ys.ld;
    h.norm_weight = p.norm_weight.data();
    h.norm_bias = p.norm_bias.data();
    h.text = p.text.data() + b * p.c.columns * n;
    h.columns = p.c.columns;
    h.mean = out.mean.data() + b * n;
    h.dots = out.dots.data() + b * p.c.tokens * p.c.columns;
    h.vectors = out.vectors.data() + b * p.c.tokens * n;
    h.tokens = p.c.tokens;
    h.width = n;
    head(h, LinearWeights{unit.data(), p.bias.data(), n, n});
  }
  return out;
}

}  // namespace

TEST_CASE("head on CUDA is as exact as plain loops for batches and products in bf16") {
  for (const Case& c : kCases) {
    CAPTURE(c.width);
    const Problem p(c);
    const DeviceNumbers y(c.type, p.y);
    Output out = p.blank();
    cuda::HeadArgs a = {};
    a.y = y.data();
    a.ldy = p.ys.ld;
    a.batch_y = p.ys.item;
    a.y_type = c.type;
    a.bias = p.bias.data();
    a.norm_weight = p.norm_weight.data();
    a.norm_bias = p.norm_bias.data();
    a.text = p.text.data();
    a.batch_text = c.columns * c.width;
    a.columns = c.columns;
    a.mean = out.mean.data();
    a.batch_mean = c.width;
    a.dots = out.dots.data();
    a.batch_dots = c.tokens * c.columns;
    a.vectors = out.vectors.data();
    a.batch_vectors = c.tokens * c.width;
    a.tokens = c.tokens;
    a.width = c.width;
    a.batch = c.batch;
    Floats scratch(static_cast<int64_t>(cuda::head_scratch_bytes(a) / sizeof(float)));
    a.scratch = scratch.data();
    REQUIRE(cuda::head(nullptr, a) == 0);
    const Output expected = with(head_ref, p), plain = with(plain_head, p);
    check_close("head batch mean", out.mean, expected.mean, plain.mean);
    check_close("head batch dots", out.dots, expected.dots, plain.dots);
    check_close("head batch vectors", out.vectors, expected.vectors, plain.vectors);
  }
}

TEST_CASE("head on CUDA refuses a width that its registers do not hold") {
  cuda::HeadArgs a = {};
  a.batch = a.tokens = 1;
  a.width = cuda::kMaxHeadWidth + 1;
  CHECK(cuda::head(nullptr, a) != 0);
}
