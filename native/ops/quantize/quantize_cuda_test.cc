// quantize to 8-bit floats: the CUDA kernel's bytes are the reference's.
#include "ops/quantize/quantize_cuda.h"

#include <cmath>
#include <limits>
#include <vector>

#include "core/half.h"
#include "device_numbers.h"
#include "emulated_cuda.h"
#include "small_floats.h"

using namespace acd;
using namespace acd::test;

namespace {

struct Case {
  int64_t rows, width, gap;
};
// Vectors of four up to 1024, 4096 and 8192 columns; otherwise single values.
const Case kCases[] = {{1, 1, 0},    {3, 7, 1},    {5, 64, 4},   {2, 1024, 0},
                       {3, 1028, 0}, {2, 4096, 4}, {1, 4100, 0}, {2, 8196, 0}};

struct Outcome {
  std::vector<uint8_t> codes;
  std::vector<float> scales;
};

template <typename Fn>
Outcome run(const Case& c, const void* x, NumberType type, Activation act, Fn&& fn) {
  const int64_t ld = c.width + c.gap;
  Outcome out{std::vector<uint8_t>(static_cast<size_t>(c.rows * ld), 0xa7),
              std::vector<float>(static_cast<size_t>(c.rows))};
  QuantizeParams p = {x, ld, type, out.codes.data(), ld, nullptr, c.rows, c.width};
  p.y_type = NumberType::kE4m3;
  p.y_scales = out.scales.data();
  p.act = act;
  fn(p);
  return out;
}

void kernel(const QuantizeParams& p) {
  set_thread_order(1);
  REQUIRE(quantize_cuda({}, p) == 0);
}

cuda::Number number(NumberType type) { return cuda::number_of(type); }

}  // namespace

TEST_CASE("8-bit floats become floats of the same value, and floats the nearest of them") {
  for (int code = 0; code < 256; ++code) {
    CAPTURE(code);
    const auto bits = static_cast<uint8_t>(code);
    const float value = float_of_e4m3(bits);
    if ((bits & 0x7f) == 0x7f) {
      CHECK(std::isnan(value));
      continue;
    }
    CHECK(value == e4m3_value(bits));
    CHECK(e4m3_of_float(value) == bits);
    if ((bits & 0x7f) == 0x7e) continue;
    const float next = float_of_e4m3(static_cast<uint8_t>(code + 1));
    const float middle = value + (next - value) / 2;
    for (float f : {middle, std::nextafterf(middle, value), std::nextafterf(middle, next)})
      CHECK(e4m3_of_float(f) == e4m3_bits(f));
  }
  CHECK(e4m3_of_float(1e6f) == 0x7e);
  CHECK(e4m3_of_float(-INFINITY) == 0xfe);
  CHECK((e4m3_of_float(NAN) & 0x7f) == 0x7f);
}

TEST_CASE("quantize on CUDA gives the reference's codes and scales, and touches nothing else") {
  for (NumberType type : {NumberType::kF32, NumberType::kBf16, NumberType::kF16}) {
    for (const Case& c : kCases) {
      CAPTURE(c.width);
      const Extent e{c.rows, c.width, c.width + c.gap};
      const DeviceNumbers x(number(type), noise({e.rows * e.ld, e.ld, e.ld}, 1, 3.0f));
      const Outcome got = run(c, x.data(), type, Activation::kNone, kernel);
      const Outcome expected = run(c, x.data(), type, Activation::kNone, quantize_ref);
      CHECK(got.codes == expected.codes);
      CHECK(got.scales == expected.scales);
    }
  }
}

TEST_CASE("quantize on CUDA activates first, within what f32 loses on the way") {
  for (Activation act : {Activation::kGelu, Activation::kQuickGelu, Activation::kLeakyRelu}) {
    for (const Case& c : {kCases[1], kCases[2], kCases[5]}) {
      const Extent e{c.rows, c.width, c.width + c.gap};
      const DeviceNumbers x(cuda::Number::kBf16, noise({e.rows * e.ld, e.ld, e.ld}, 1, 3.0f));
      const Outcome got = run(c, x.data(), NumberType::kBf16, act, kernel);
      const Outcome expected = run(c, x.data(), NumberType::kBf16, act, quantize_ref);
      int64_t far = 0, other = 0;
      for (size_t i = 0; i < got.codes.size(); ++i) {
        // A value beside the middle of two codes may become either.
        far += std::abs(got.codes[i] - expected.codes[i]) > 1;
        other += got.codes[i] != expected.codes[i];
      }
      CHECK(far == 0);
      CHECK(other <= 1 + static_cast<int64_t>(got.codes.size() / 1000));
      for (size_t r = 0; r < got.scales.size(); ++r) {
        CHECK(std::fabs(got.scales[r] - expected.scales[r]) <= 0x1p-20f * expected.scales[r]);
      }
    }
  }
}

TEST_CASE("quantize on CUDA keeps the largest value, gives zeros for nothing, and hides no NaN") {
  const float nan = std::numeric_limits<float>::quiet_NaN();
  const Case c = {4, 64, 0};
  Floats x = noise(4 * 64, 1);
  for (int64_t i = 0; i < 64; ++i) x[64 + i] = i == 3 ? 1e-31f : 0.0f;
  x[2 * 64 + 5] = nan;
  x[3 * 64 + 5] = -std::numeric_limits<float>::infinity();
  x[7] = -5;
  const Outcome got = run(c, x.data(), NumberType::kF32, Activation::kNone, kernel);
  CHECK(got.codes[7] == 0xfe);
  CHECK(got.scales[0] * 448 == 5.0f);
  CHECK(got.scales[1] == 0.0f);
  for (int64_t i = 0; i < 64; ++i) CHECK((got.codes[static_cast<size_t>(64 + i)] & 0x7f) == 0);
  CHECK(std::isfinite(got.scales[2]));
  CHECK((got.codes[2 * 64 + 5] & 0x7f) == 0x7f);
  CHECK(std::isinf(got.scales[3]));
  // What a product makes of it: infinity times zero.
  CHECK(std::isnan(got.scales[3] * float_of_e4m3(got.codes[3 * 64])));
}
