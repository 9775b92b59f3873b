#include "ops/resize_positions/resize_positions.h"

#include <algorithm>

#include "op_test.h"

using namespace acd;
using namespace acd::test;

namespace {

struct Case {
  int64_t old_grid, grid, width;
};
const Case kCases[] = {{1, 1, 3},  {1, 2, 1},  {2, 1, 5},  {2, 3, 2},   {3, 2, 7},  {7, 7, 3},
                       {7, 13, 2}, {16, 5, 3}, {13, 1, 2}, {24, 37, 2}, {37, 24, 1}};

Floats run(const Case& c, const Floats& in) {
  Floats out((1 + c.grid * c.grid) * c.width);
  resize_positions(in.data(), c.old_grid, out.data(), c.grid, c.width);
  return out;
}

}  // namespace

TEST_CASE("resize_positions equals the bicubic definition to the last bits and stays inside out") {
  for (const Case& c : kCases) {
    CAPTURE(c.old_grid);
    CAPTURE(c.grid);
    const Floats in = noise((1 + c.old_grid * c.old_grid) * c.width, 1);
    Floats expected((1 + c.grid * c.grid) * c.width);
    resize_positions_ref(in.data(), c.old_grid, expected.data(), c.grid, c.width);
    check_close("resize_positions", run(c, in), expected, expected);
  }
}

TEST_CASE("resize_positions keeps the class row, and everything when the grids are equal") {
  for (const Case& c : kCases) {
    const Floats in = noise((1 + c.old_grid * c.old_grid) * c.width, 1);
    const Floats out = run(c, in);
    CHECK(std::equal(in.data(), in.data() + c.width, out.data()));
    if (c.grid == c.old_grid) CHECK(same_bytes(in, out));
  }
}

TEST_CASE("resize_positions keeps a constant constant") {
  for (const Case& c : kCases) {
    Floats in((1 + c.old_grid * c.old_grid) * c.width);
    for (int64_t i = 0; i < in.size(); ++i) in[i] = 0.75f;
    const Floats out = run(c, in);
    for (int64_t i = 0; i < out.size(); ++i) CHECK(out[i] == doctest::Approx(0.75f).epsilon(1e-6));
  }
}
