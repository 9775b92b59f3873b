#include "ops/gather_tokens/gather_tokens_cuda.h"

#include "op_test.h"

using namespace acd;
using namespace acd::test;

TEST_CASE("the end-of-text token on CUDA is the first one with the largest id") {
  const int64_t sequences = 4, length = 7, width = 301;
  // At the start, in the middle, at the end, and twice.
  const std::vector<int32_t> ids = {9, 1, 2, 3, 0, 0, 0, 5, 1, 49407, 7, 0, 0, 0,
                                    1, 2, 3, 4, 5, 6, 7, 1, 8, 3,     8, 2, 0, 0};
  const int64_t end[] = {0, 2, 6, 1};
  const Floats x = noise(sequences * length * width, 1);
  Floats y(sequences * width);
  REQUIRE(cuda::gather_ends(nullptr, {ids.data(), x.data(), y.data(), sequences, length, width}) ==
          0);
  Floats expected(y.size());
  for (int64_t s = 0; s < sequences; ++s) {
    for (int64_t i = 0; i < width; ++i)
      expected[s * width + i] = x[(s * length + end[s]) * width + i];
  }
  CHECK(same_bytes(y, expected));
}
