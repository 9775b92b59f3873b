#include "ops/assemble_tokens/assemble_tokens.h"

#include "op_test.h"

using namespace acd;
using namespace acd::test;

namespace {

struct Problem {
  Problem(int64_t batch, int64_t tokens, int64_t width)
      : batch(batch),
        tokens(tokens),
        width(width),
        x(noise(batch * tokens * width, 1)),
        class_embedding(noise(width, 2)),
        positions(noise(tokens * width, 3)) {}
  AssembleTokensParams params(Floats& out) const {
    return {out.data(), class_embedding.data(), positions.data(), batch, tokens, width};
  }

  int64_t batch, tokens, width;
  Floats x, class_embedding, positions;
};

Floats run(const Device& device, const Problem& p) {
  Floats x = p.x;
  REQUIRE(device.assemble_tokens(p.params(x)).ok());
  return x;
}

}  // namespace

TEST_CASE("assemble_tokens equals its definition byte for byte and writes nothing else") {
  const auto device = test_device(2);
  for (const Problem& p : {Problem(1, 1, 1), Problem(2, 2, 7), Problem(3, 5, 63),
                           Problem(1, 65, 65), Problem(2, 1370, 64)}) {
    CAPTURE(p.tokens);
    Floats expected = p.x;
    assemble_tokens_ref(p.params(expected));
    CHECK(same_bytes(run(*device, p), expected));
  }
}

TEST_CASE("assemble_tokens does not read what the class row held before") {
  Problem p(2, 3, 17), other = p;
  for (int64_t i = 0; i < 17; ++i) other.x[i] = other.x[3 * 17 + i] = 1e30f;
  CHECK(same_bytes(run(*test_device(1), p), run(*test_device(1), other)));
}

TEST_CASE("assemble_tokens gives the same bytes on any number of threads") {
  const Problem p(3, 257, 128);
  check_same_bytes_on_any_threads([&](const Device& device) { return run(device, p); });
}
