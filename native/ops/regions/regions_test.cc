#include "ops/regions/regions.h"

#include <doctest/doctest.h>

#include <cmath>
#include <limits>
#include <random>
#include <string>

namespace {

using Map = std::vector<float>;
constexpr float kNaN = std::numeric_limits<float>::quiet_NaN();

std::vector<acd::Region> find(const Map& map, int w, int h, float threshold = 0.5f,
                              int64_t min_area = 1, int max_regions = acd::kMaxRegions) {
  std::vector<acd::Region> regions;
  const acd::Status status =
      acd::find_regions(map.data(), w, h, threshold, min_area, &regions, max_regions);
  REQUIRE(status.ok());
  return regions;
}

// '.' is 0, a digit d is (d + 0.5) / 10.
Map draw(const std::string& picture) {
  Map map;
  for (char c : picture) map.push_back(c == '.' ? 0.0f : (c - '0' + 0.5f) / 10.0f);
  return map;
}

// The pixels that the polygon encloses: those with an odd number of vertical edges on their left.
std::vector<uint8_t> rasterise(const std::vector<int32_t>& polygon, int w, int h) {
  std::vector<uint8_t> inside(w * h);
  const size_t n = polygon.size();
  for (size_t i = 0; i < n; i += 2) {
    const int x0 = polygon[i], y0 = polygon[i + 1];
    const int x1 = polygon[(i + 2) % n], y1 = polygon[(i + 3) % n];
    if (x0 != x1) continue;
    for (int y = std::min(y0, y1); y < std::max(y0, y1); ++y) {
      for (int x = x0; x < w; ++x) inside[y * w + x] ^= 1;
    }
  }
  return inside;
}

// Shoelace; positive for clockwise with y down.
int64_t signed_area(const std::vector<int32_t>& p) {
  int64_t twice = 0;
  for (size_t i = 0, n = p.size(); i < n; i += 2) {
    twice += int64_t{p[i]} * p[(i + 3) % n] - int64_t{p[(i + 2) % n]} * p[i + 1];
  }
  return twice / 2;
}

bool has_collinear_points(const std::vector<int32_t>& p) {
  for (size_t i = 0, n = p.size(); i < n; i += 2) {
    const bool in_is_vertical = p[i] == p[(i + 2) % n];
    const bool out_is_vertical = p[(i + 2) % n] == p[(i + 4) % n];
    if (in_is_vertical == out_is_vertical) return true;
  }
  return false;
}

void check_equal(const acd::Region& a, const acd::RegionRef& ref, int w, int h) {
  const acd::Region& b = ref.region;
  CHECK(a.x == b.x);
  CHECK(a.y == b.y);
  CHECK(a.width == b.width);
  CHECK(a.height == b.height);
  CHECK(a.area == b.area);
  CHECK(a.score == b.score);
  CHECK(a.mean == b.mean);
  CHECK(a.cx == b.cx);
  CHECK(a.cy == b.cy);
  CHECK(rasterise(a.polygon, w, h) == ref.filled);
  int64_t filled = 0;
  for (uint8_t v : ref.filled) filled += v;
  CHECK(signed_area(a.polygon) == filled);
  CHECK_FALSE(has_collinear_points(a.polygon));
}

}  // namespace

TEST_CASE("regions equal their plain definition at odd shapes and densities") {
  const int shapes[][2] = {{1, 1}, {1, 17}, {19, 1}, {2, 2}, {7, 5}, {13, 11}, {31, 29}};
  std::mt19937 rng(20261123);
  for (const auto& s : shapes) {
    for (int repeat = 0; repeat < 30; ++repeat) {
      Map map(static_cast<size_t>(s[0]) * s[1]);
      // 16 levels make ties; a NaN now and then.
      for (float& v : map) v = rng() % 50 == 0 ? kNaN : static_cast<float>(rng() % 16) / 15.0f;
      const float threshold = static_cast<float>(repeat % 10) / 9.0f;
      const int64_t min_area = 1 + repeat % 3;
      const auto expected = acd::find_regions_ref(map.data(), s[0], s[1], threshold, min_area);
      const auto actual = find(map, s[0], s[1], threshold, min_area);
      REQUIRE(actual.size() == expected.size());
      for (size_t i = 0; i < actual.size(); ++i) check_equal(actual[i], expected[i], s[0], s[1]);
    }
  }
}

TEST_CASE("a single pixel is a unit square around its centre") {
  const auto r = find(draw("...."
                           "..7."
                           "...."),
                      4, 3);
  REQUIRE(r.size() == 1);
  CHECK(r[0].cx == 2.5);
  CHECK(r[0].cy == 1.5);
  CHECK(r[0].polygon == std::vector<int32_t>{2, 1, 3, 1, 3, 2, 2, 2});
}

TEST_CASE("pixels that touch by a corner are one region with one outline") {
  const auto r = find(draw("9.9"
                           ".9."
                           "9.9"),
                      3, 3);
  REQUIRE(r.size() == 1);
  CHECK(r[0].area == 5);
  CHECK(signed_area(r[0].polygon) == 5);
}

TEST_CASE("a hole does not change the outer outline, and a region inside a hole is its own") {
  const auto r = find(draw("77777"
                           "7...7"
                           "7.9.7"
                           "7...7"
                           "77777"),
                      5, 5);
  REQUIRE(r.size() == 2);
  CHECK(r[0].area == 1);
  CHECK(r[1].area == 16);
  CHECK(r[1].polygon == std::vector<int32_t>{0, 0, 5, 0, 5, 5, 0, 5});
}

TEST_CASE("arms that meet only in a later row become one region") {
  const auto r = find(draw("6.6.6"
                           "6.6.6"
                           "66666"),
                      5, 3);
  REQUIRE(r.size() == 1);
  CHECK(r[0].area == 11);
}

TEST_CASE("regions come by greatest value, then area, then position") {
  const auto r = find(draw("7..77..9"
                           "........"
                           "7......."),
                      8, 3);
  REQUIRE(r.size() == 4);
  CHECK(r[0].x == 7);
  CHECK(r[1].area == 2);
  CHECK(r[2].y == 0);
  CHECK(r[3].y == 2);
}

TEST_CASE("NaN pixels never belong to a region, also next to the threshold") {
  const Map map = {kNaN, 1.0f, kNaN, kNaN};
  const auto r = find(map, 4, 1, -1.0f);
  REQUIRE(r.size() == 1);
  CHECK(r[0].area == 1);
  CHECK(r[0].mean == 1.0);
}

TEST_CASE("the number of regions is bounded and the best are kept") {
  const int w = 201, h = 101;
  Map map(w * h);
  for (int y = 0; y < h; y += 2) {
    for (int x = 0; x < w; x += 2) map[y * w + x] = 1.0f + static_cast<float>(y * w + x) * 1e-5f;
  }
  const auto all = find(map, w, h, 0.5f, 1, 1 << 20);
  const auto some = find(map, w, h);
  CHECK(all.size() == 101 * 51);
  REQUIRE(some.size() == acd::kMaxRegions);
  for (size_t i = 0; i < some.size(); ++i) REQUIRE(some[i].polygon == all[i].polygon);
}

TEST_CASE("a spiral as long as the map needs no recursion") {
  const int n = 1001;
  Map map(n * n);
  int x = 0, y = 0, dx = 1, dy = 0;
  const auto free_ahead = [&](int steps) {
    const int ax = x + dx * steps, ay = y + dy * steps;
    return ax >= 0 && ay >= 0 && ax < n && ay < n && map[ay * n + ax] == 0.0f;
  };
  for (int turns = 0; turns < 2;) {
    map[y * n + x] = 1.0f;
    const bool wall = !free_ahead(1) || (x + 2 * dx >= 0 && x + 2 * dx < n && y + 2 * dy >= 0 &&
                                         y + 2 * dy < n && !free_ahead(2));
    if (wall) {
      const int t = dx;
      dx = -dy, dy = t;
      ++turns;
    } else {
      x += dx, y += dy;
      turns = 0;
    }
  }
  const auto r = find(map, n, n);
  REQUIRE(r.size() == 1);
  CHECK(r[0].area > n * n / 3);
  CHECK(signed_area(r[0].polygon) == r[0].area);
}

TEST_CASE("regions refuse arguments outside their contract") {
  const float v = 1;
  std::vector<acd::Region> out;
  CHECK(acd::find_regions(&v, 0, 1, 0.5f, 1, &out).code() == acd::Code::kInvalidArg);
  CHECK(acd::find_regions(&v, 1, 1, kNaN, 1, &out).code() == acd::Code::kInvalidArg);
  CHECK(acd::find_regions(&v, 1, 1, 0.5f, 0, &out).code() == acd::Code::kInvalidArg);
  CHECK(acd::find_regions(&v, 1, 1, 0.5f, 1, &out, 0).code() == acd::Code::kInvalidArg);
}
