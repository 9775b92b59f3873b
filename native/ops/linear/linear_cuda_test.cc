// The epilogues in every type; the op's own tests run them in f32.
#include "ops/linear/linear_cuda.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "device_numbers.h"
#include "plain_f32.h"

using namespace acd;
using namespace acd::test;
using cuda::Number;

namespace {

struct Case {
  int64_t rows, width, gap, batch;
};

// Four columns at once where strides allow it, otherwise one.
const Case kCases[] = {{1, 1, 0, 1}, {5, 64, 0, 1}, {3, 68, 4, 3}, {4, 1028, 0, 2}, {7, 259, 1, 2}};
const Number kTypes[] = {Number::kF32, Number::kBf16, Number::kF16};
const Activation kActs[] = {Activation::kNone, Activation::kGelu, Activation::kQuickGelu,
                            Activation::kLeakyRelu};

struct Problem {
  Problem(const Case& c, Number product_type, bool has_bias)
      : c(c),
        product_type(product_type),
        e{c.rows, c.width, c.width + c.gap, c.batch, c.rows * (c.width + c.gap) + 8},
        product(rounded(product_type, noise(e, 1, 4.0f))),
        bias(noise(c.width, 2)),
        has_bias(has_bias) {}
  cuda::LinearEpilogueArgs args(const DeviceNumbers& from, const DeviceNumbers& b) const {
    cuda::LinearEpilogueArgs a = {};
    a.product = from.data();
    a.ldp = a.ldy = e.ld;
    a.batch_product = a.batch_y = e.item;
    a.product_type = product_type;
    a.bias = has_bias ? static_cast<const float*>(b.data()) : nullptr;
    a.rows = c.rows;
    a.width = c.width;
    a.batch = c.batch;
    return a;
  }
  Case c;
  Number product_type;
  Extent e;
  Floats product, bias;
  bool has_bias;
};

// A product with the unit matrix: the references' linear becomes the epilogue.
template <typename Linear>
Floats with(Linear linear, const Problem& p, Activation act, bool accumulate, Floats y) {
  const int64_t n = p.c.width;
  std::vector<float> unit(static_cast<size_t>(n * n), 0.0f);
  for (int64_t i = 0; i < n; ++i) unit[static_cast<size_t>(i * n + i)] = 1;
  LinearParams l{p.product.data(), p.e.ld,    nullptr,  y.data(), p.e.ld, p.c.rows, act,
                 accumulate,       p.c.batch, p.e.item, p.e.item};
  linear(l, LinearWeights{unit.data(), p.has_bias ? p.bias.data() : nullptr, n, n});
  return y;
}

}  // namespace

TEST_CASE("a product's epilogue on CUDA rounds to every type as a plain loop would") {
  for (Number product_type : {Number::kF32, Number::kBf16, Number::kF16}) {
    for (Number type : kTypes) {
      for (Activation act : kActs) {
        for (const Case& c : kCases) {
          if (c.width > 300 && act != Activation::kGelu) continue;  // the unit matrix is slow
          const Problem p(c, product_type, act != Activation::kNone);
          CAPTURE(c.width);
          const DeviceNumbers from(product_type, p.product), b(Number::kF32, p.bias);
          DeviceNumbers y(type, Floats(p.e.cells()));
          cuda::LinearEpilogueArgs a = p.args(from, b);
          a.y = y.data();
          a.y_type = type;
          a.act = act;
          REQUIRE(cuda::linear_epilogue(nullptr, a) == 0);
          const Floats expected = with(linear_ref, p, act, false, Floats(p.e.cells()));
          const Floats plain = with(plain_linear, p, act, false, Floats(p.e.cells()));
          const std::string name = std::string("epilogue to ") + number_name(type);
          check_close(name.c_str(), y.floats(), expected, rounded(type, plain));
        }
      }
    }
  }
}

TEST_CASE("a product's epilogue on CUDA adds the residual and its own bias") {
  for (Number product_type : {Number::kF32, Number::kBf16}) {
    for (const Case& c : {kCases[0], kCases[2], kCases[4]}) {
      const Problem p(c, product_type, true);
      const Floats old = noise(p.e, 3);
      const DeviceNumbers from(product_type, p.product), b(Number::kF32, p.bias);
      DeviceNumbers y(Number::kF32, old);
      cuda::LinearEpilogueArgs a = p.args(from, b);
      a.y = y.data();
      a.accumulate = true;
      REQUIRE(cuda::linear_epilogue(nullptr, a) == 0);
      check_close("epilogue residual", y.floats(),
                  with(linear_ref, p, Activation::kNone, true, old),
                  with(plain_linear, p, Activation::kNone, true, old));
      a.y_type = Number::kBf16;
      CHECK(cuda::linear_epilogue(nullptr, a) != 0);
    }
  }
}

TEST_CASE("what is too large for f16 becomes its largest number on CUDA, and a NaN stays") {
  Floats product(4), y(4);
  const float values[] = {1e6f, -1e6f, 65503.0f, std::numeric_limits<float>::quiet_NaN()};
  for (int64_t i = 0; i < 4; ++i) product[i] = values[i];
  const DeviceNumbers from(Number::kF32, product);
  DeviceNumbers to(Number::kF16, 4);
  cuda::LinearEpilogueArgs a = {};
  a.product = from.data();
  a.y = to.data();
  a.product_type = Number::kF32;
  a.y_type = Number::kF16;
  a.ldp = a.ldy = a.width = 4;
  a.rows = 1;
  REQUIRE(cuda::linear_epilogue(nullptr, a) == 0);
  const Floats got = to.floats();
  CHECK(got[0] == 65504.0f);
  CHECK(got[1] == -65504.0f);
  CHECK(got[2] == 65504.0f);
  CHECK(std::isnan(got[3]));
}

TEST_CASE("a product's epilogue on CUDA multiplies with the scales of its row and its column") {
  for (const Case& c : {kCases[0], kCases[2], kCases[4]}) {
    for (bool accumulate : {false, true}) {
      const Problem p(c, Number::kF32, true);
      const Floats old = noise(p.e, 3), rows = noise(c.batch * c.rows, 4),
                   columns = noise(c.width, 5);
      const DeviceNumbers from(Number::kF32, p.product), b(Number::kF32, p.bias);
      const DeviceNumbers r(Number::kF32, rows), k(Number::kF32, columns);
      DeviceNumbers y(Number::kF32, old);
      cuda::LinearEpilogueArgs a = p.args(from, b);
      a.y = y.data();
      a.accumulate = accumulate;
      a.row_scales = static_cast<const float*>(r.data());
      a.column_scales = static_cast<const float*>(k.data());
      REQUIRE(cuda::linear_epilogue(nullptr, a) == 0);
      Problem scaled = p;
      for (int64_t i = 0; i < c.batch * c.rows; ++i) {
        const int64_t row = i / c.rows * p.e.item + i % c.rows * p.e.ld;
        for (int64_t j = 0; j < c.width; ++j) scaled.product[row + j] *= rows[i] * columns[j];
      }
      check_close("epilogue scales", y.floats(),
                  with(linear_ref, scaled, Activation::kNone, accumulate, old),
                  with(plain_linear, scaled, Activation::kNone, accumulate, old));
    }
  }
}
