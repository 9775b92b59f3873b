#include "ops/patchify/patchify.h"

#include "op_test.h"

using namespace acd;
using namespace acd::test;

namespace {

struct Case {
  int64_t batch, size, patch;
};
const Case kCases[] = {{1, 1, 1}, {3, 2, 1}, {2, 14, 14}, {1, 28, 14}, {3, 15, 3}, {1, 518, 14}};

Floats run(const Device& device, const Case& c, const Floats& image) {
  Floats rows(image.size());
  REQUIRE(device.patchify({image.data(), rows.data(), c.batch, c.size, c.patch}).ok());
  return rows;
}

}  // namespace

TEST_CASE("patchify moves every pixel where its definition says and writes nothing else") {
  const auto device = test_device(2);
  for (const Case& c : kCases) {
    CAPTURE(c.size);
    CAPTURE(c.patch);
    const Floats image = noise(c.batch * 3 * c.size * c.size, 1);
    Floats expected(image.size());
    patchify_ref({image.data(), expected.data(), c.batch, c.size, c.patch});
    CHECK(same_bytes(run(*device, c, image), expected));
  }
}

TEST_CASE("patchify gives the same bytes on any number of threads") {
  const Case c = {3, 70, 7};
  const Floats image = noise(c.batch * 3 * c.size * c.size, 1);
  check_same_bytes_on_any_threads([&](const Device& device) { return run(device, c, image); });
}
