// What the CUDA kernel can do beyond the op: smaller outputs, and the residual before it.
#include "ops/layer_norm/layer_norm_cuda.h"

#include <algorithm>
#include <cmath>
#include <vector>

#include "device_numbers.h"
#include "plain_f32.h"

using namespace acd;
using namespace acd::test;
using cuda::Number;

namespace {

struct Case {
  int64_t rows, width;
  int64_t gap = 0;
};

// Vectors of four where the strides allow them, up to 512, 1024 and 1536 columns; otherwise single
// values.
const Case kCases[] = {{3, 7, 1},    {5, 64},   {9, 508, 4}, {5, 768},
                       {4, 1024, 8}, {2, 1536}, {2, 1540},   {3, 1026}};
const Number kTypes[] = {Number::kF32, Number::kBf16, Number::kF16, Number::kE4m3};

struct Problem {
  explicit Problem(const Case& c)
      : c(c),
        xs{c.rows, c.width, c.width + c.gap},
        ys{c.rows, c.width, c.width + 2 * c.gap},
        x(noise(xs, 1, 2.0f)),
        weight(noise(c.width, 2)),
        bias(noise(c.width, 3)) {}
  // x and y are given by the caller.
  LayerNormParams params(const Floats& from, Floats& y) const {
    return {from.data(), xs.ld, weight.data(), bias.data(), y.data(), ys.ld, c.rows, c.width};
  }
  Case c;
  Extent xs, ys;
  Floats x, weight, bias;
};

// Codes of fp8 times their row's scale.
Floats aligned_run(const Problem& p, cuda::LayerNormArgs a, Number type) {
  const DeviceNumbers weight(Number::kF32, p.weight), bias(Number::kF32, p.bias);
  DeviceNumbers y(type, Floats(p.ys.cells()));
  a.ldx = p.xs.ld;
  a.weight = static_cast<const float*>(weight.data());
  a.bias = static_cast<const float*>(bias.data());
  a.y = y.data();
  a.ldy = p.ys.ld;
  a.rows = p.c.rows;
  a.width = p.c.width;
  a.y_type = type;
  std::vector<float> scales(static_cast<size_t>(p.c.rows));
  a.y_scales = scales.data();
  REQUIRE(cuda::layer_norm(nullptr, a) == 0);
  Floats out = y.floats();
  for (int64_t r = 0; type == Number::kE4m3 && r < p.c.rows; ++r) {
    for (int64_t i = 0; i < p.c.width; ++i) out[r * p.ys.ld + i] *= scales[static_cast<size_t>(r)];
  }
  return out;
}

// What rounding to a type leaves of rows; in fp8 with a scale a row.
Floats rounded_rows(const Problem& p, Number type, Floats f) {
  if (type != Number::kE4m3) return rounded(type, f);
  for (int64_t r = 0; r < p.c.rows; ++r) {
    float* row = f.data() + r * p.ys.ld;
    float largest = 0;
    for (int64_t i = 0; i < p.c.width; ++i) largest = std::max(largest, std::fabs(row[i]));
    for (int64_t i = 0; i < p.c.width; ++i)
      row[i] = rounded(type, row[i] * (448.0f / largest)) * (largest / 448.0f);
  }
  return f;
}

}  // namespace

TEST_CASE("layer_norm on CUDA rounds to every type as a plain loop would") {
  for (Number type : kTypes) {
    for (const Case& c : kCases) {
      CAPTURE(c.width);
      const Problem p(c);
      Floats expected(p.ys.cells()), plain(p.ys.cells());
      layer_norm_ref(p.params(p.x, expected));
      plain_layer_norm(p.params(p.x, plain));
      const DeviceNumbers x(Number::kF32, p.x);
      cuda::LayerNormArgs a = {};
      a.x = static_cast<const float*>(x.data());
      const std::string name = std::string("layer_norm to ") + number_name(type);
      check_close(name.c_str(), aligned_run(p, a, type), expected, rounded_rows(p, type, plain));
    }
  }
}

TEST_CASE("layer_norm on CUDA adds a product and its bias to the residual first, in place") {
  for (Number delta_type : {Number::kF32, Number::kBf16}) {
    for (bool has_bias : {true, false}) {
      for (const Case& c : kCases) {
        CAPTURE(c.width);
        const Problem p(c);
        const Extent ds{c.rows, c.width, c.width + 4 * c.gap};
        const Floats delta = rounded(delta_type, noise(ds, 4)), delta_bias = noise(c.width, 5);
        Floats sum(p.xs.cells());
        for (int64_t r = 0; r < c.rows; ++r) {
          for (int64_t i = 0; i < c.width; ++i) {
            const float d = delta[r * ds.ld + i];
            sum[r * p.xs.ld + i] = p.x[r * p.xs.ld + i] + (has_bias ? d + delta_bias[i] : d);
          }
        }
        Floats expected(p.ys.cells()), plain(p.ys.cells());
        layer_norm_ref(p.params(sum, expected));
        plain_layer_norm(p.params(sum, plain));
        DeviceNumbers x(Number::kF32, p.x);
        const DeviceNumbers d(delta_type, delta), b(Number::kF32, delta_bias);
        cuda::LayerNormArgs a = {};
        a.x = a.sum = static_cast<float*>(x.data());
        a.delta = d.data();
        a.ldd = ds.ld;
        a.delta_type = delta_type;
        a.delta_bias = has_bias ? static_cast<const float*>(b.data()) : nullptr;
        const Floats y = aligned_run(p, a, Number::kBf16);
        check_close("layer_norm of a sum", y, expected, rounded(Number::kBf16, plain));
        CHECK(same_bytes(x.floats(), sum));
      }
    }
  }
}
