#include "ops/gate/gate.h"

#include <cmath>
#include <limits>

#include "op_test.h"

using namespace acd;
using namespace acd::test;

namespace {

struct Case {
  int64_t width, hidden, groups;
};
const Case kCases[] = {{1, 1, 1}, {2, 3, 1}, {7, 5, 2}, {63, 65, 3}, {64, 17, 4}, {768, 192, 4}};

struct Problem {
  explicit Problem(const Case& c, float scale = 1.0f)
      : c(c),
        mean(noise(c.width, 1, scale)),
        w1(noise(c.hidden * c.width, 2)),
        b1(noise(c.hidden, 3)),
        w2(noise(2 * c.groups * c.hidden, 4, 0.25f)),
        b2(noise(2 * c.groups, 5)) {}
  GateParams params(Floats& out) const {
    return {mean.data(), w1.data(), b1.data(), w2.data(), b2.data(),
            out.data(),  c.width,   c.hidden,  c.groups};
  }

  Case c;
  Floats mean, w1, b1, w2, b2;
};

Floats run(const Device& device, const Problem& p) {
  Floats out(2 * p.c.groups);
  REQUIRE(device.gate(p.params(out)).ok());
  return out;
}

}  // namespace

TEST_CASE("gate equals its definition to the last bits and writes nothing else") {
  const auto device = test_device(1);
  for (const Case& c : kCases) {
    CAPTURE(c.width);
    CAPTURE(c.hidden);
    CAPTURE(c.groups);
    const Problem p(c);
    Floats expected(2 * c.groups);
    gate_ref(p.params(expected));
    check_close("gate", run(*device, p), expected, expected);
  }
}

TEST_CASE("gate weights of a column sum to one, also for means of 1e4") {
  for (float scale : {1.0f, 1e4f}) {
    const Floats out = run(*test_device(1), Problem({96, 31, 4}, scale));
    for (int64_t column = 0; column < 2; ++column) {
      float total = 0;
      for (int64_t j = 0; j < 4; ++j) total += out[2 * j + column];
      CHECK(total == doctest::Approx(1.0f));
    }
  }
}

TEST_CASE("gate gives the same bytes on any number of threads") {
  const Problem p({768, 192, 4});
  check_same_bytes_on_any_threads([&](const Device& device) { return run(device, p); });
}

TEST_CASE("gate does not hide a NaN in the mean") {
  Problem p({65, 7, 3});
  p.mean[64] = std::numeric_limits<float>::quiet_NaN();
  const Floats out = run(*test_device(1), p);
  CHECK(all_nan(out.data(), out.size()));
}
