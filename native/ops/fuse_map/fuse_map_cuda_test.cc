// Maps of a batch in one launch, and bands that must shrink to fit into shared memory.
#include "ops/fuse_map/fuse_map_cuda.h"

#include "op_test.h"
#include "plain_f32.h"

using namespace acd;
using namespace acd::test;

TEST_CASE("maps on CUDA of a batch are as exact as plain loops, with little shared memory too") {
  const int64_t batch = 3, groups = 2, grid = 13, size = 24, taps = 5, n = grid * grid;
  const int64_t dots_item = groups * n * 2 * groups, gates_item = groups * groups * 2;
  const Floats dots = noise(batch * dots_item, 1, 0.5f), gates = noise(batch * gates_item, 2);
  Floats expected(batch * size * size), plain(expected.size()), top(batch), logits(batch * 4 * n);
  for (int64_t b = 0; b < batch; ++b) {
    FuseMapParams p = {dots.data() + b * dots_item,
                       gates.data() + b * gates_item,
                       groups,
                       grid,
                       size,
                       taps,
                       1.3f,
                       expected.data() + b * size * size,
                       top.data() + b,
                       logits.data() + b * 4 * n};
    fuse_map_ref(p);
    p.map = plain.data() + b * size * size;
    plain_fuse_map(p);
  }
  Floats first;
  for (size_t shared_bytes : {size_t{227 * 1024}, size_t{2 * 6 * 13 * 4}}) {
    Floats map(expected.size()), max(batch), l(logits.size());
    const FuseMapParams a = {dots.data(), gates.data(), groups,     grid,     size,  taps,
                             1.3f,        map.data(),   max.data(), l.data(), batch, dots_item,
                             gates_item,  size * size,  1,          4 * n};
    REQUIRE(cuda::fuse_maps(nullptr, a, shared_bytes) == 0);
    check_close("fuse_maps", map, expected, plain);
    check_close("fuse_maps max", max, top, top);
    check_close("fuse_maps logits", l, logits, logits);
    if (first.size() == 0) first = map;
    CHECK(same_bytes(map, first));
    CHECK(cuda::fuse_maps(nullptr, a, 2 * 5 * 13 * 4) != 0);
  }
}
