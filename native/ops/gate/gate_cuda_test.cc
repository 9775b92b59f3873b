// The gates of several groups and items in the same two launches.
#include "ops/gate/gate_cuda.h"

#include "op_test.h"

using namespace acd;
using namespace acd::test;

TEST_CASE("gates on CUDA of all groups and items equal one by one") {
  const int64_t batch = 3, groups = 4, width = 70, hidden = 21;
  const Floats mean = noise(batch * groups * width, 1);
  std::vector<Floats> weights;
  Floats scratch(batch * groups * hidden), out(batch * groups * groups * 2), expected(out.size());
  cuda::GatesArgs a = {};
  for (int64_t i = 0; i < groups; ++i) {
    const auto seed = static_cast<unsigned>(10 * i);
    for (const Floats& w : {noise(hidden * width, seed), noise(hidden, seed + 1),
                            noise(2 * groups * hidden, seed + 2), noise(2 * groups, seed + 3)})
      weights.push_back(w);
  }
  for (int64_t i = 0; i < groups; ++i) {
    const Floats* w = weights.data() + 4 * i;
    a.of[i] = {w[0].data(), w[1].data(), w[2].data(), w[3].data()};
    for (int64_t b = 0; b < batch; ++b) {
      gate_ref({mean.data() + (b * groups + i) * width, &a.of[i],
                expected.data() + (b * groups + i) * groups * 2, width, hidden, groups});
    }
  }
  a.mean = mean.data();
  a.hidden = scratch.data();
  a.out = out.data();
  a.batch = batch;
  a.groups = a.gates = groups;
  a.width = width;
  a.hidden_width = hidden;
  REQUIRE(cuda::gates(nullptr, a) == 0);
  check_close("gates", out, expected, expected);
  a.groups = cuda::kMaxGroups + 1;
  CHECK(cuda::gates(nullptr, a) != 0);
}
