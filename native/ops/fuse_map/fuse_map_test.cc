#include "ops/fuse_map/fuse_map.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "op_test.h"
#include "plain_f32.h"

using namespace acd;
using namespace acd::test;

namespace {

struct Case {
  int64_t groups, grid, size, taps;
  bool logits = true;
};
const Case kCases[] = {{1, 1, 1, 1},   {2, 1, 5, 3},          {1, 2, 2, 3}, {3, 2, 17, 5},
                       {4, 3, 1, 5},   {2, 5, 3, 7, false},   {1, 7, 7, 3}, {4, 16, 65, 3},
                       {2, 37, 64, 5}, {4, 37, 518, 3, false}};

struct Output {
  Floats map, max, logits;
};

struct Problem {
  explicit Problem(const Case& c, float scale = 0.5f)
      : c(c),
        tokens(c.grid * c.grid),
        dots(noise(c.groups * tokens * 2 * c.groups, 1, scale)),
        gates(noise(c.groups * c.groups * 2, 2)) {}
  FuseMapParams params(Output& out) const {
    return {dots.data(),    gates.data(),
            c.groups,       c.grid,
            c.size,         c.taps,
            1.3f,           out.map.data(),
            out.max.data(), c.logits ? out.logits.data() : nullptr};
  }
  Output blank() const {
    return {Floats(c.size * c.size), Floats(1), Floats(c.groups * 2 * tokens)};
  }

  Case c;
  int64_t tokens;
  Floats dots, gates;
};

Output run(const Device& device, const Problem& p) {
  Output out = p.blank();
  REQUIRE(device.fuse_map(p.params(out)).ok());
  return out;
}

}  // namespace

TEST_CASE("fuse_map is as exact as plain loops in the published order, at every grid and size") {
  const auto device = test_device(2);
  for (const Case& c : kCases) {
    CAPTURE(c.groups);
    CAPTURE(c.grid);
    CAPTURE(c.size);
    CAPTURE(c.taps);
    const Problem p(c);
    Output expected = p.blank(), plain = p.blank();
    fuse_map_ref(p.params(expected));
    plain_fuse_map(p.params(plain));
    const Output actual = run(*device, p);
    check_close("fuse_map map", actual.map, expected.map, plain.map);
    check_close("fuse_map max", actual.max, expected.max, plain.max);
    check_close("fuse_map logits", actual.logits, expected.logits, plain.logits);
  }
}

TEST_CASE("the max of fuse_map is the largest value of its map, bit for bit") {
  for (const Case& c : kCases) {
    const Output out = run(*test_device(1), Problem(c));
    CHECK(out.max[0] == *std::max_element(out.map.data(), out.map.data() + out.map.size()));
  }
}

TEST_CASE("fuse_map of logits of 1e5 is finite and stays within 0 and 1") {
  const Output out = run(*test_device(1), Problem({2, 5, 33, 3}, 1e4f));
  for (int64_t i = 0; i < out.map.size(); ++i) {
    CHECK(out.map[i] >= 0.0f);
    CHECK(out.map[i] <= 1.0f);
  }
}

TEST_CASE("fuse_map gives the same bytes on any number of threads") {
  const Problem p({4, 16, 131, 3});
  const Output alone = run(*test_device(1), p);
  for (int threads : {2, 3, 8}) {
    const Output out = run(*test_device(threads), p);
    CHECK(same_bytes(out.map, alone.map));
    CHECK(same_bytes(out.max, alone.max));
    CHECK(same_bytes(out.logits, alone.logits));
  }
}

TEST_CASE("a NaN anywhere in the dots makes the max of fuse_map NaN") {
  for (int64_t at : {0, 149, 399}) {
    Problem p({2, 10, 40, 3});
    p.dots[at] = std::numeric_limits<float>::quiet_NaN();
    for (int threads : {1, 8}) {
      const Output out = run(*test_device(threads), p);
      CHECK(std::isnan(out.max[0]));
    }
  }
}

TEST_CASE("fuse_map of a batch gives each item the bytes that it has alone") {
  const int64_t batch = 3, groups = 2, grid = 5, size = 33, n = grid * grid;
  const Floats dots = noise(batch * 4 * groups * n, 1, 0.5f);
  const Floats gates = noise(batch * groups * groups * 2, 2);
  const auto device = test_device(2);
  Floats maps(batch * size * size), tops(batch), logits(batch * groups * 2 * n);
  Floats alone_maps(maps.size()), alone_tops(batch), alone_logits(logits.size());
  FuseMapParams p = {dots.data(), gates.data(), groups,      grid,        size,
                     3,           1.3f,         maps.data(), tops.data(), logits.data()};
  p.batch = batch;
  p.batch_dots = 2 * groups * groups * n;
  p.batch_gates = groups * groups * 2;
  p.batch_map = size * size;
  p.batch_max = 1;
  p.batch_logits = groups * 2 * n;
  REQUIRE(device->fuse_map(p).ok());
  p.map = alone_maps.data();
  p.max = alone_tops.data();
  p.logits = alone_logits.data();
  for (int64_t b = 0; b < batch; ++b) REQUIRE(device->fuse_map(fuse_map_item(p, b)).ok());
  CHECK(same_bytes(maps, alone_maps));
  CHECK(same_bytes(tops, alone_tops));
  CHECK(same_bytes(logits, alone_logits));
}
