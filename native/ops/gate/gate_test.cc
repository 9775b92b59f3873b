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
    return {mean.data(), &weights, out.data(), c.width, c.hidden, c.groups};
  }

  Case c;
  Floats mean, w1, b1, w2, b2;
  GateWeights weights = {w1.data(), b1.data(), w2.data(), b2.data()};
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

TEST_CASE("gate of several groups and items gives each the bytes that it has alone") {
  const int64_t batch = 3, gates = 2, width = 65, hidden = 7, groups = 3;
  const Problem first({width, hidden, groups}), second({width, hidden, groups}, 2.0f);
  Floats w1 = noise(hidden * width, 12);
  const GateWeights weights[] = {first.weights,
                                 {w1.data(), first.b1.data(), second.w2.data(), second.b2.data()}};
  const Floats mean = noise(batch * gates * width, 6);
  const auto device = test_device(2);
  Floats together(batch * gates * 2 * groups), alone(together.size());
  REQUIRE(device->gate({mean.data(), weights, together.data(), width, hidden, groups, gates, batch})
              .ok());
  for (int64_t i = 0; i < batch * gates; ++i) {
    REQUIRE(device
                ->gate({mean.data() + i * width, weights + i % gates, alone.data() + i * 2 * groups,
                        width, hidden, groups})
                .ok());
  }
  CHECK(same_bytes(together, alone));
}
