#include "ops/preprocess/preprocess_cuda.h"

#include <random>

#include "device_numbers.h"
#include "emulated_cuda.h"
#include "ops/patchify/patchify.h"
#include "ops/preprocess/preprocess.h"
#include "ops/resize/resize.h"

using namespace acd;
using namespace acd::test;
using cuda::Number;

namespace {

struct Case {
  int w, h, size, patch;
};

// Both passes either way round, one of them, none; the last is a strip, narrow and tall.
const Case kCases[] = {{1, 1, 1, 1},   {1, 1, 14, 7},     {31, 1, 7, 7},    {37, 23, 14, 7},
                       {9, 13, 28, 4}, {14, 29, 14, 7},   {300, 14, 14, 2}, {12, 12, 12, 3},
                       {2, 211, 6, 3}, {5, 501, 600, 200}};

std::vector<uint8_t> picture(const Case& c) {
  std::mt19937 rng(static_cast<unsigned>(c.w * 31 + c.h));
  std::vector<uint8_t> bytes(static_cast<size_t>(c.w) * c.h * 3);
  for (size_t i = 0; i < bytes.size(); ++i) bytes[i] = i % 3 ? rng() & 255 : (rng() & 1) * 255;
  return bytes;
}

DeviceAxis device_axis(const BicubicAxis& axis, bool is_needed) {
  if (!is_needed) return {};
  return {axis.first.data(), axis.count.data(), axis.weights.data(), axis.taps};
}

Floats run(const Case& c, const std::vector<uint8_t>& src, int patch, Number type, int order) {
  const BicubicAxis horizontal = bicubic_axis(c.w, c.size), vertical = bicubic_axis(c.h, c.size);
  std::vector<uint8_t> middle(cuda::preprocess_scratch_bytes(c.w, c.h, c.size));
  DeviceNumbers out(type, Floats(int64_t{3} * c.size * c.size));
  set_thread_order(order);
  const int error =
      cuda::preprocess(nullptr, {src.data(), c.w, c.h, device_axis(horizontal, c.w != c.size),
                                 device_axis(vertical, c.h != c.size), middle.data(), c.size, patch,
                                 out.data(), type});
  REQUIRE(error == 0);
  return out.floats();
}

}  // namespace

TEST_CASE("preprocess on CUDA has the bits of its definition, as an image and as patch rows") {
  for (const Case& c : kCases) {
    CAPTURE(c.w);
    CAPTURE(c.h);
    CAPTURE(c.size);
    const std::vector<uint8_t> src = picture(c);
    Floats image(int64_t{3} * c.size * c.size), rows(image.size());
    preprocess_rgb8_ref(src.data(), c.w, c.h, c.size, image.data());
    patchify_ref({image.data(), rows.data(), 1, c.size, c.patch});
    for (int order : {1, 3}) {
      CHECK(same_bytes(run(c, src, 0, Number::kF32, order), image));
      CHECK(same_bytes(run(c, src, c.patch, Number::kF32, order), rows));
    }
    CHECK(same_bytes(run(c, src, c.patch, Number::kBf16, 1), rounded(Number::kBf16, rows)));
  }
}
