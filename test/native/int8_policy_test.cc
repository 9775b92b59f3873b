// How weights are prepared for 8 bits.
#include "model/int8_policy.h"

#include <doctest/doctest.h>

#include <cmath>
#include <random>
#include <vector>

using namespace acd;

namespace {

struct Layer {
  Layer() : gain(kWidth), bias(kWidth), weight(kRows * kWidth) {
    std::minstd_rand random(7);
    std::uniform_real_distribution<float> values(-1, 1);
    for (float& v : gain) v = 1 + 0.2f * values(random);
    for (float& v : bias) v = 0.2f * values(random);
    for (float& v : weight) v = values(random);
  }
  void equalise() { equalise_channels(gain.data(), bias.data(), weight.data(), kRows, kWidth); }

  static constexpr int64_t kRows = 5, kWidth = 37;
  std::vector<float> gain, bias, weight;
};

}  // namespace

TEST_CASE("equalising changes no product of a gain or a bias with a weight") {
  Layer before;
  before.gain[3] *= 100;
  before.bias[9] = -77;
  before.gain[11] = before.bias[11] = 0;
  for (int64_t i = 0; i < Layer::kRows; ++i) before.weight[i * Layer::kWidth + 20] = 0;
  Layer after = before;
  after.equalise();
  for (int64_t i = 0; i < Layer::kRows; ++i) {
    for (int64_t j = 0; j < Layer::kWidth; ++j) {
      const int64_t at = i * Layer::kWidth + j;
      CHECK(after.gain[j] * after.weight[at] == before.gain[j] * before.weight[at]);
      CHECK(after.bias[j] * after.weight[at] == before.bias[j] * before.weight[at]);
    }
  }
  CHECK(after.gain != before.gain);
}

TEST_CASE("channels that a norm makes large come near the others") {
  Layer layer;
  for (int64_t j : {3, 30}) {
    layer.gain[j] *= 256;
    for (int64_t i = 0; i < Layer::kRows; ++i) layer.weight[i * Layer::kWidth + j] /= 256;
  }
  layer.equalise();
  for (float gain : layer.gain) CHECK(std::fabs(gain) < 4);
}

TEST_CASE("channels that a norm makes small stay small") {
  Layer before;
  for (int64_t j : {3, 30}) before.gain[j] /= 256;
  Layer after = before;
  after.equalise();
  for (int64_t j = 0; j < Layer::kWidth; ++j)
    CHECK(std::fabs(after.gain[j]) <= std::fabs(before.gain[j]));
}

TEST_CASE("int8 is for the products of the picture's tower alone") {
  for (NumberType inner : {NumberType::kF32, NumberType::kBf16}) {
    const BlockTypes types = vision_block_types(Precision::kInt8, inner, 64);
    CHECK(types.qkv == NumberType::kInt8);
    CHECK(types.c_proj == NumberType::kInt8);
    CHECK(vision_block_types(Precision::kBf16, inner, 64).c_fc == inner);
  }
}

TEST_CASE("fp8 is of all products of a wide tower, and of the longest alone in a narrow one") {
  constexpr NumberType fp8 = NumberType::kE4m3, bf16 = NumberType::kBf16;
  const auto all_are = [](const BlockTypes& t, NumberType first, NumberType last) {
    return t.qkv == first && t.out_proj == first && t.c_fc == first && t.c_proj == last;
  };
  CHECK(all_are(vision_block_types(Precision::kFp8, bf16, 512), fp8, fp8));
  CHECK(all_are(vision_block_types(Precision::kFp8, bf16, 511), bf16, fp8));
}
