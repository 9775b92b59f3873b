#include "ops/preprocess/preprocess.h"

#include <doctest/doctest.h>

#include <cstring>
#include <random>
#include <vector>

namespace {

uint32_t bits(float v) {
  uint32_t b;
  std::memcpy(&b, &v, sizeof b);
  return b;
}

}  // namespace

TEST_CASE("normalised pixels have numpy's float32 bits") {
  struct {
    int value;
    uint32_t bits[3];
  } rows[] = {
      {0, {0xbfe568dcu, 0xbfe044b8u, 0xbfbd77d8u}},
      {1, {0xbfe38a7fu, 0xbfde58f1u, 0xbfbba5e1u}},
      {100, {0xbeaa32f0u, 0xbe80ad0du, 0xbd6e70ebu}},
      {127, {0x3d7ce092u, 0x3e1d9531u, 0x3ea6c5e6u}},
      {254, {0x3ff536e5u, 0x4003d502u, 0x40086d66u}},
      {255, {0x3ff71541u, 0x4004cae5u, 0x40095660u}},
  };
  for (const auto& row : rows) {
    const std::vector<uint8_t> src(5 * 3 * 3, static_cast<uint8_t>(row.value));
    std::vector<float> dst(3 * 4 * 4);
    REQUIRE(acd::preprocess_rgb8(src.data(), 5, 3, 4, dst.data()).ok());
    for (int i = 0; i < 48; ++i) CHECK(bits(dst[i]) == row.bits[i / 16]);
  }
}

TEST_CASE("preprocessing equals its plain definition bit for bit and stays inside dst") {
  constexpr int kGuard = 16;
  const int shapes[][3] = {{1, 1, 1},  {1, 1, 14},   {1, 29, 7},
                           {31, 1, 7}, {37, 23, 13}, {13, 13, 13}};
  for (const auto& s : shapes) {
    std::mt19937 rng(s[0]);
    std::vector<uint8_t> src(static_cast<size_t>(s[0]) * s[1] * 3);
    for (auto& v : src) v = rng() & 255;
    const size_t n = static_cast<size_t>(s[2]) * s[2] * 3;
    std::vector<float> expected(n + 2 * kGuard, -9.0f), actual(expected);
    acd::preprocess_rgb8_ref(src.data(), s[0], s[1], s[2], expected.data() + kGuard);
    REQUIRE(acd::preprocess_rgb8(src.data(), s[0], s[1], s[2], actual.data() + kGuard).ok());
    CHECK(std::memcmp(actual.data(), expected.data(), actual.size() * sizeof(float)) == 0);
  }
}

TEST_CASE("normalisation may be split by rows without changing a bit") {
  const int size = 11;
  std::vector<uint8_t> rgb(size * size * 3);
  for (size_t i = 0; i < rgb.size(); ++i) rgb[i] = static_cast<uint8_t>(i * 7);
  std::vector<float> whole(rgb.size()), split(rgb.size());
  acd::normalise_rows_rgb8(rgb.data(), size, whole.data(), 0, size);
  acd::normalise_rows_rgb8(rgb.data(), size, split.data(), 0, 4);
  acd::normalise_rows_rgb8(rgb.data(), size, split.data(), 4, size);
  CHECK(split == whole);
}

TEST_CASE("preprocessing refuses sides outside its contract") {
  uint8_t pixel[3] = {};
  float out[3];
  CHECK(acd::preprocess_rgb8(pixel, 1, 1, 0, out).code() == acd::Code::kInvalidArg);
  CHECK(acd::preprocess_rgb8(pixel, 0, 1, 1, out).code() == acd::Code::kInvalidArg);
}
