#include "ops/resize/resize.h"

#include <doctest/doctest.h>

#include <cmath>
#include <random>
#include <string>

namespace {

struct Shape {
  int w, h, dw, dh;
};
const Shape kShapes[] = {{1, 1, 1, 1},     {1, 1, 7, 5},    {1, 13, 5, 3},    {17, 1, 4, 6},
                         {7, 7, 7, 3},     {7, 7, 3, 7},    {31, 37, 13, 11}, {13, 11, 31, 37},
                         {61, 60, 60, 61}, {2, 211, 5, 17}, {101, 3, 1, 1},   {97, 89, 96, 90}};
constexpr int kGuard = 64;

std::string describe(const Shape& s, int channels) {
  const auto side = [](int v) { return std::to_string(v); };
  return side(s.w) + "x" + side(s.h) + " -> " + side(s.dw) + "x" + side(s.dh) + ", " +
         side(channels) + " channels";
}

std::vector<uint8_t> noise(size_t n, unsigned seed) {
  std::mt19937 rng(seed);
  std::vector<uint8_t> bytes(n);
  // Every third byte is an extreme, so that sums overshoot and the clamps work.
  for (size_t i = 0; i < n; ++i) bytes[i] = i % 3 ? rng() & 255 : (rng() & 1) * 255;
  return bytes;
}

using ResizeU8 = acd::Status (*)(const uint8_t*, int, int, int, uint8_t*, int, int);
using ResizeRefU8 = void (*)(const uint8_t*, int, int, int, uint8_t*, int, int);

void compare_u8(ResizeU8 fast, ResizeRefU8 slow) {
  for (const Shape& s : kShapes) {
    for (int c = 1; c <= 4; ++c) {
      const std::string shape = describe(s, c);
      CAPTURE(shape);
      const auto src = noise(static_cast<size_t>(s.w) * s.h * c, s.w * 31 + s.h);
      const size_t n = static_cast<size_t>(s.dw) * s.dh * c;
      std::vector<uint8_t> expected(n + 2 * kGuard, 0xA5), actual(expected);
      slow(src.data(), s.w, s.h, c, expected.data() + kGuard, s.dw, s.dh);
      REQUIRE(fast(src.data(), s.w, s.h, c, actual.data() + kGuard, s.dw, s.dh).ok());
      CHECK(actual == expected);
    }
  }
}

uint64_t fnv1a(const std::vector<uint8_t>& bytes) {
  uint64_t hash = 1469598103934665603ull;
  for (uint8_t b : bytes) hash = (hash ^ b) * 1099511628211ull;
  return hash;
}

}  // namespace

TEST_CASE("bicubic resizing equals its plain definition byte for byte and stays inside dst") {
  compare_u8(acd::resize_bicubic_u8, acd::resize_bicubic_u8_ref);
}

TEST_CASE("nearest resizing equals its plain definition byte for byte and stays inside dst") {
  compare_u8(acd::resize_nearest_u8, acd::resize_nearest_u8_ref);
}

TEST_CASE("bicubic resizing gives Pillow's bytes") {
  // src[i] = (i * 2654435761 mod 2^32) >> 24; the hashes are FNV-1a of Pillow 12.3's output.
  struct {
    Shape s;
    uint64_t bicubic, nearest;
  } cases[] = {
      {{64, 48, 37, 41}, 0xac53fb2e9e06d237ull, 0xa368d497c2e38b5aull},
      {{9, 7, 56, 61}, 0xebef7bcb94492127ull, 0xd558787128797408ull},
      {{2, 307, 24, 56}, 0x1f3221d7c13890fbull, 0x2f9b36dcf1d875b3ull},
      {{199, 151, 64, 64}, 0xed28e3de6ea4d59eull, 0xfcf80c6718fcba9aull},
  };
  for (const auto& c : cases) {
    const std::string shape = describe(c.s, 3);
    CAPTURE(shape);
    std::vector<uint8_t> src(static_cast<size_t>(c.s.w) * c.s.h * 3);
    for (size_t i = 0; i < src.size(); ++i) src[i] = static_cast<uint32_t>(i * 2654435761u) >> 24;
    std::vector<uint8_t> dst(static_cast<size_t>(c.s.dw) * c.s.dh * 3);
    REQUIRE(acd::resize_bicubic_u8(src.data(), c.s.w, c.s.h, 3, dst.data(), c.s.dw, c.s.dh).ok());
    CHECK(fnv1a(dst) == c.bicubic);
    REQUIRE(acd::resize_nearest_u8(src.data(), c.s.w, c.s.h, 3, dst.data(), c.s.dw, c.s.dh).ok());
    CHECK(fnv1a(dst) == c.nearest);
  }
}

TEST_CASE("a constant picture stays constant at any size") {
  for (int value : {0, 1, 127, 254, 255}) {
    const std::vector<uint8_t> src(41 * 43, static_cast<uint8_t>(value));
    for (int side : {1, 2, 29, 41, 97}) {
      std::vector<uint8_t> dst(static_cast<size_t>(side) * side);
      REQUIRE(acd::resize_bicubic_u8(src.data(), 41, 43, 1, dst.data(), side, side).ok());
      CHECK(dst == std::vector<uint8_t>(dst.size(), static_cast<uint8_t>(value)));
    }
  }
}

TEST_CASE("memory of earlier resizes changes nothing, whatever their sizes") {
  acd::ResizeScratch scratch;
  for (int round = 0; round < 2; ++round) {
    for (const Shape& s : kShapes) {
      for (int c = 1; c <= 4; ++c) {
        const std::string shape = describe(s, c);
        CAPTURE(shape);
        const auto src = noise(static_cast<size_t>(s.w) * s.h * c, 9);
        std::vector<uint8_t> fresh(static_cast<size_t>(s.dw) * s.dh * c), again(fresh);
        REQUIRE(acd::resize_bicubic_u8(src.data(), s.w, s.h, c, fresh.data(), s.dw, s.dh).ok());
        REQUIRE(acd::resize_bicubic_u8(src.data(), s.w, s.h, c, again.data(), s.dw, s.dh, scratch)
                    .ok());
        CHECK(again == fresh);
      }
    }
  }
}

TEST_CASE("rows may be split between callers without changing a byte") {
  const int w = 53, h = 47, dw = 19, dh = 23, c = 3;
  const auto src = noise(static_cast<size_t>(w) * h * c, 5);
  std::vector<uint8_t> whole(static_cast<size_t>(dw) * dh * c), split(whole.size());
  REQUIRE(acd::resize_bicubic_u8(src.data(), w, h, c, whole.data(), dw, dh).ok());
  std::vector<uint8_t> middle(static_cast<size_t>(dw) * h * c), block;
  const acd::BicubicAxis across = acd::bicubic_axis(w, dw), down = acd::bicubic_axis(h, dh);
  for (int y = 0; y < h; y += 10) {
    acd::resize_horizontal_rows(across, src.data() + static_cast<size_t>(y) * w * c, w,
                                std::min(10, h - y), c,
                                middle.data() + static_cast<size_t>(y) * dw * c, block);
  }
  for (int y = 0; y < dh; y += 6) {
    acd::resize_vertical_rows(down, middle.data(), dw * c, y, std::min(y + 6, dh), split.data());
  }
  CHECK(split == whole);
}

TEST_CASE("map resizing equals the bilinear definition, keeps its range and stays inside dst") {
  for (const Shape& s : kShapes) {
    const std::string shape = describe(s, 1);
    CAPTURE(shape);
    std::vector<float> src;
    for (uint8_t b : noise(static_cast<size_t>(s.w) * s.h, s.w + s.h)) src.push_back(b / 255.0f);
    const size_t n = static_cast<size_t>(s.dw) * s.dh;
    std::vector<float> expected(n), actual(n + 2 * kGuard, -7.0f);
    acd::resize_map_f32_ref(src.data(), s.w, s.h, expected.data(), s.dw, s.dh);
    REQUIRE(acd::resize_map_f32(src.data(), s.w, s.h, actual.data() + kGuard, s.dw, s.dh).ok());
    float worst = 0, lowest = 1, highest = 0;
    for (size_t i = 0; i < n; ++i) {
      const float v = actual[kGuard + i];
      worst = std::max(worst, std::fabs(v - expected[i]));
      lowest = std::min(lowest, v), highest = std::max(highest, v);
    }
    CHECK(worst <= 4 * 5.97e-8f);  // four roundings of values below 1
    CHECK(lowest >= 0.0f);
    CHECK(highest <= 1.0f);
    for (int i = 0; i < kGuard; ++i) {
      REQUIRE(actual[i] == -7.0f);
      REQUIRE(actual[kGuard + n + i] == -7.0f);
    }
  }
}

TEST_CASE("resizing refuses sides and channels outside its contract") {
  uint8_t pixel[4] = {};
  float value = 0;
  CHECK(acd::resize_bicubic_u8(pixel, 0, 1, 1, pixel, 1, 1).code() == acd::Code::kInvalidArg);
  CHECK(acd::resize_bicubic_u8(pixel, 1, 1, 5, pixel, 1, 1).code() == acd::Code::kInvalidArg);
  CHECK(acd::resize_nearest_u8(pixel, 1, 1, 1, pixel, 1, -1).code() == acd::Code::kInvalidArg);
  CHECK(acd::resize_map_f32(&value, 1, 1, &value, acd::kMaxResizeSide + 1, 1).code() ==
        acd::Code::kInvalidArg);
}
