// What the generator promises, in the order in which one would doubt it.
#include "datagen/generate.h"

#include <doctest/doctest.h>

#include <cstring>
#include <set>
#include <thread>

#include "datagen/datagen_c.h"

namespace {

struct Sample {
  explicit Sample(const acd_datagen_request& q)
      : rgb(pixels(q) * 3), mask(pixels(q)), clean(pixels(q) * 3) {
    status = acd_datagen_sample(&q, rgb.data(), mask.data(), clean.data(), &label);
  }
  static size_t pixels(const acd_datagen_request& q) {
    return static_cast<size_t>(q.size) * static_cast<size_t>(q.size);
  }
  std::vector<uint8_t> rgb, mask, clean;
  acd_datagen_label label{};
  int status;
};

acd_datagen_request request(uint64_t seed, uint64_t index, int size = 64) {
  return {seed, index, size, -1, -1, 0, 0.5f, 0, nullptr};
}

// FNV-1a of everything a sample consists of.
uint64_t hash_of(const Sample& s, uint64_t h = 0xcbf29ce484222325ull) {
  for (const auto* bytes : {&s.rgb, &s.mask, &s.clean})
    for (const uint8_t b : *bytes) h = (h ^ b) * 0x100000001b3ull;
  return h;
}

void check_consistent(const acd_datagen_request& q, const Sample& s) {
  REQUIRE(s.status == 0);
  int area = 0;
  for (size_t i = 0; i < s.mask.size(); ++i) {
    if (s.mask[i] == 0) continue;
    REQUIRE(s.mask[i] == 255);
    REQUIRE(std::memcmp(&s.rgb[3 * i], &s.clean[3 * i], 3) != 0);
    ++area;
  }
  CHECK(area == s.label.area);
  CHECK((s.label.label == 1) == (s.label.defect >= 0));
  if (s.label.label == 1) CHECK(area >= acd::datagen::least_area(q.size));
  if (s.label.label == 0) CHECK(area == 0);
  if (s.label.label == 0) CHECK(s.rgb == s.clean);
}

}  // namespace

TEST_CASE("datagen: the same seed and index give the same bytes, in any order and thread") {
  std::vector<uint64_t> first(24), second(24);
  for (size_t k = 0; k < first.size(); ++k) first[k] = hash_of(Sample(request(5, k)));
  std::thread other([&] {
    for (size_t k = second.size(); k-- > 0;) second[k] = hash_of(Sample(request(5, k)));
  });
  other.join();
  CHECK(first == second);
  CHECK(std::set<uint64_t>(first.begin(), first.end()).size() == first.size());
  CHECK(hash_of(Sample(request(6, 0))) != first[0]);
}

TEST_CASE("datagen: the bytes are those of every other machine and optimisation level") {
  uint64_t h = 0xcbf29ce484222325ull;
  for (int c = 0; c < acd_datagen_class_count(); ++c) {
    for (int d = 0; d < acd_datagen_defect_count(); d += 2) {
      acd_datagen_request q = request(2024, static_cast<uint64_t>(d), 96);
      q.class_id = c, q.defect = d;
      h = hash_of(Sample(q), h);
    }
  }
  CHECK(h == 0x02f13bc91bb382c3ull);
}

TEST_CASE("datagen: masks mark what differs from the clean twin, and labels agree with masks") {
  for (uint64_t k = 0; k < 400; ++k) {
    const acd_datagen_request q = request(9, k, 32 + static_cast<int>(k % 80));
    check_consistent(q, Sample(q));
  }
}

TEST_CASE("datagen: every class can be drawn normal and abnormal at every size") {
  for (int c = 0; c < acd_datagen_class_count(); ++c) {
    CAPTURE(acd_datagen_class_name(c));
    for (const int size : {32, 33, 57, 128}) {
      acd_datagen_request q = request(3, static_cast<uint64_t>(size), size);
      q.class_id = c;
      for (const int defect : {-2, 3}) {
        q.defect = defect;
        const Sample s(q);
        check_consistent(q, s);
        CHECK(s.label.class_id == c);
        CHECK(s.label.label == (defect == -2 ? 0 : 1));
      }
    }
  }
  for (const int size : {257, 1023, 1024}) {
    acd_datagen_request q = request(4, 1, size);
    check_consistent(q, Sample(q));
  }
}

TEST_CASE("datagen: every kind of defect that is asked for is nearly always the one drawn") {
  for (int d = 0; d < acd_datagen_defect_count(); ++d) {
    CAPTURE(acd_datagen_defect_name(d));
    int made = 0;
    for (uint64_t k = 0; k < 20; ++k) {
      acd_datagen_request q = request(10, k, 96);
      q.defect = d;
      made += Sample(q).label.defect == d;
    }
    CHECK(made >= 14);
  }
}

TEST_CASE("datagen: classes of one split are never drawn for the other") {
  std::set<int> training, held_out;
  for (uint64_t k = 0; k < 400; ++k) {
    acd_datagen_request q = request(11, k, 32);
    q.split = 1 + static_cast<int>(k % 2);
    (q.split == 1 ? training : held_out).insert(Sample(q).label.class_id);
  }
  for (const int c : training) CHECK(acd_datagen_class_held_out(c) == 0);
  for (const int c : held_out) CHECK(acd_datagen_class_held_out(c) == 1);
  CHECK(training.size() + held_out.size() == static_cast<size_t>(acd_datagen_class_count()));
  CHECK(held_out.size() >= 5);
}

TEST_CASE("datagen: the share of abnormal samples is the one asked for") {
  int abnormal = 0;
  for (uint64_t k = 0; k < 400; ++k) {
    acd_datagen_request q = request(12, k, 48);
    q.abnormal_ratio = 0.25f;
    abnormal += Sample(q).label.label;
  }
  CHECK(abnormal > 65);
  CHECK(abnormal < 135);
}

TEST_CASE("datagen: a batch is its samples one after another, and writes nothing beyond them") {
  const acd_datagen_request q = request(13, 7, 40);
  const size_t one = 40 * 40;
  std::vector<uint8_t> rgb(9 * one + 64, 0xA5), mask(3 * one + 64, 0xA5);
  acd_datagen_label labels[3];
  REQUIRE(acd_datagen_batch(&q, 3, rgb.data(), mask.data(), nullptr, labels) == 0);
  for (uint64_t k = 0; k < 3; ++k) {
    const Sample s(request(13, 7 + k, 40));
    CHECK(std::memcmp(s.rgb.data(), &rgb[3 * one * k], 3 * one) == 0);
    CHECK(std::memcmp(s.mask.data(), &mask[one * k], one) == 0);
    CHECK(labels[k].class_id == s.label.class_id);
  }
  for (size_t k = 0; k < 64; ++k) CHECK((rgb[9 * one + k] == 0xA5 && mask[3 * one + k] == 0xA5));
}

TEST_CASE("datagen: requests out of range are refused") {
  const auto refused = [](auto change) {
    acd_datagen_request q = request(1, 1, 32);
    change(q);
    uint8_t one[32 * 32 * 3], two[32 * 32];
    acd_datagen_label label;
    return acd_datagen_sample(&q, one, two, nullptr, &label) == 1;
  };
  CHECK(refused([](auto& q) { q.size = 31; }));
  CHECK(refused([](auto& q) { q.size = 1025; }));
  CHECK(refused([](auto& q) { q.class_id = acd_datagen_class_count(); }));
  CHECK(refused([](auto& q) { q.class_id = -2; }));
  CHECK(refused([](auto& q) { q.defect = acd_datagen_defect_count(); }));
  CHECK(refused([](auto& q) { q.split = 3; }));
  CHECK(refused([](auto& q) { q.abnormal_ratio = 1.5f; }));
  CHECK(acd_datagen_class_name(-1) == nullptr);
  CHECK(acd_datagen_defect_name(99) == nullptr);
}

TEST_CASE("datagen: a photograph is the scene, and defects are put on it") {
  constexpr int kSize = 64;
  std::vector<uint8_t> photograph(3 * kSize * kSize);
  for (int i = 0; i < kSize * kSize; ++i)  // red on the left, blue on the right
    photograph[static_cast<size_t>(3 * i + (i % kSize < kSize / 2 ? 0 : 2))] = 200;
  acd_datagen_request q = request(11, 0, kSize);
  q.photographs = photograph.data();
  int abnormal = 0, coloured = 0;
  for (q.index = 0; q.index < 40; ++q.index) {
    const Sample s(q);
    check_consistent(q, s);
    CHECK(s.label.class_id == -3);
    abnormal += s.label.label;
    double left[2] = {}, right[2] = {};  // red, blue
    for (int i = 0; i < kSize * kSize; ++i) {
      double* side = i % kSize < kSize / 2 ? left : right;
      side[0] += s.clean[static_cast<size_t>(3 * i)];
      side[1] += s.clean[static_cast<size_t>(3 * i + 2)];
    }
    CHECK(left[0] > 1.3 * right[0]);
    // A monochrome camera makes brightness of both.
    if (left[0] == left[1]) continue;
    ++coloured;
    CHECK(left[0] > 2 * left[1]);
    CHECK(right[1] > 2 * right[0]);
  }
  CHECK(coloured > 20);
  CHECK(abnormal > 10);
  CHECK(abnormal < 30);
}
