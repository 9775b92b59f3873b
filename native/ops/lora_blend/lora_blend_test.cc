#include "ops/lora_blend/lora_blend.h"

#include <limits>

#include "op_test.h"
#include "plain_f32.h"

using namespace acd;
using namespace acd::test;

namespace {

struct Case {
  int64_t rows, width, rank;
  int64_t gap = 0;
};
const Case kCases[] = {{1, 1, 1},        {2, 3, 5, 1},   {3, 15, 2},    {4, 16, 8, 3},
                       {5, 17, 24},      {7, 63, 16, 1}, {63, 64, 24},  {64, 65, 7},
                       {65, 768, 24, 5}, {2, 127, 13},   {1369, 64, 8}, {1370, 61, 16, 3}};

struct Problem {
  explicit Problem(const Case& c, float scale = 2.0f)
      : c(c),
        xs{c.rows, c.width, c.width + c.gap},
        ys{c.rows, c.rank, c.rank + c.gap},
        x(noise(xs, 1, scale)),
        y(noise(ys, 2)),
        up(noise(c.rank * c.width, 3)),
        mix(noise(c.width, 4)) {}
  LoraBlendParams params(Floats& out) const {
    return {out.data(), xs.ld, y.data(), ys.ld, up.data(), mix.data(), c.rows, c.width, c.rank};
  }

  Case c;
  Extent xs, ys;
  Floats x, y, up, mix;
};

Floats run(const Device& device, const Problem& p) {
  Floats x = p.x;
  REQUIRE(device.lora_blend(p.params(x)).ok());
  return x;
}

void check(const char* name, const Device& device, const Problem& p) {
  CAPTURE(p.c.rows);
  CAPTURE(p.c.width);
  CAPTURE(p.c.rank);
  Floats expected = p.x, plain = p.x;
  lora_blend_ref(p.params(expected));
  plain_lora_blend(p.params(plain));
  check_close(name, run(device, p), expected, plain);
}

}  // namespace

TEST_CASE("lora_blend is as exact as a plain loop at every shape and stride") {
  const auto device = test_device(2);
  for (const Case& c : kCases) check("lora_blend", *device, Problem(c));
}

TEST_CASE("lora_blend is as exact as a plain loop at every small width and rank") {
  const auto device = test_device(1);
  for (int64_t width = 1; width <= 70; ++width) {
    check("lora_blend", *device, Problem({width % 7 + 1, width, width % 9 + 1, 1}));
  }
}

TEST_CASE("lora_blend stays exact and finite for inputs of 1e4") {
  check("lora_blend 1e4", *test_device(1), Problem({65, 768, 24}, 1e4f));
}

TEST_CASE("lora_blend with a zero y row keeps (1 - mix) x of that row") {
  for (int64_t zero = 0; zero < 7; ++zero) {
    Problem p({7, 67, 5});
    for (int64_t k = 0; k < 5; ++k) p.y[zero * 5 + k] = 0.0f;
    const Floats x = run(*test_device(1), p);
    for (int64_t i = 0; i < 67; ++i) {
      CHECK(x[zero * 67 + i] == (1.0f - p.mix[i]) * p.x[zero * 67 + i]);
    }
    check("lora_blend zero row", *test_device(1), p);
  }
}

TEST_CASE("lora_blend with a zero mix changes nothing") {
  Problem p({5, 67, 5});
  for (int64_t i = 0; i < 67; ++i) p.mix[i] = 0.0f;
  CHECK(same_bytes(run(*test_device(1), p), p.x));
}

TEST_CASE("lora_blend gives the same bytes on any number of threads") {
  for (const Case& c : {Case{3, 5, 2}, Case{65, 768, 24, 3}, Case{1370, 61, 16}}) {
    const Problem p(c);
    check_same_bytes_on_any_threads([&](const Device& device) { return run(device, p); });
  }
}

TEST_CASE("lora_blend passes a NaN on to its row and to no other") {
  const float nan = std::numeric_limits<float>::quiet_NaN();
  for (bool in_y : {false, true}) {
    Problem p({9, 67, 5});
    (in_y ? p.y[6 * 5 + 1] : p.x[6 * 67 + 66]) = nan;
    const Floats x = run(*test_device(1), p);
    for (int64_t r = 0; r < 9; ++r) {
      CHECK((r == 6 ? all_nan(x.data() + r * 67, 67) : all_finite(x.data() + r * 67, 67)));
    }
  }
}

TEST_CASE("lora_blend of a batch gives each item the bytes that it has alone, and no gap changes") {
  const int64_t batch = 3, rows = 9, width = 67, rank = 5, item_x = 9 * 70 + 4, item_y = 9 * 5 + 3;
  const Floats from = noise(batch * item_x, 1, 2.0f), y = noise(batch * item_y, 2);
  const Floats up = noise(rank * width, 3), mix = noise(width, 4);
  const auto device = test_device(2);
  Floats together = from, alone = from;
  LoraBlendParams p = {together.data(), 70,   y.data(), rank, up.data(),
                       mix.data(),      rows, width,    rank};
  p.batch = batch;
  p.batch_x = item_x;
  p.batch_y = item_y;
  REQUIRE(device->lora_blend(p).ok());
  for (int64_t b = 0; b < batch; ++b) {
    REQUIRE(device
                ->lora_blend({alone.data() + b * item_x, 70, y.data() + b * item_y, rank, up.data(),
                              mix.data(), rows, width, rank})
                .ok());
  }
  CHECK(same_bytes(together, alone));
}
