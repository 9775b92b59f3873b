#include "ops/gather_tokens/gather_tokens.h"

#include <cstring>
#include <random>

#include "op_test.h"

using namespace acd;
using namespace acd::test;

namespace {

struct Case {
  int64_t sequences, length, width, vocabulary;
};
const Case kCases[] = {{1, 1, 1, 1}, {2, 7, 63, 11}, {3, 77, 65, 101}, {1, 77, 512, 3}};

const TableType kTypes[] = {TableType::kF32, TableType::kF16, TableType::kBf16, TableType::kSeeded};

struct Problem {
  Problem(const Case& c, TableType type)
      : c(c),
        type(type),
        f32(noise(c.vocabulary * c.width, 1)),
        positions(noise(c.length * c.width, 2)) {
    std::mt19937 rng(3);
    for (int64_t i = 0; i < c.sequences * c.length; ++i) ids.push_back(rng() % c.vocabulary);
    ids.back() = static_cast<int32_t>(c.vocabulary - 1);
    // Any exponent but the one of NaN and infinity, subnormal numbers included.
    const uint16_t infinite = type == TableType::kF16 ? 0x7c00 : 0x7f80;
    while (u16.size() < static_cast<size_t>(f32.size())) {
      const auto bits = static_cast<uint16_t>(rng());
      if ((bits & infinite) != infinite) u16.push_back(bits);
    }
  }
  GatherTokensParams params(Floats& x) const {
    const void* table = type == TableType::kF32 ? static_cast<const void*>(f32.data()) : u16.data();
    if (type == TableType::kSeeded) table = nullptr;
    return {ids.data(),  table,    type,    positions.data(), x.data(),
            c.sequences, c.length, c.width, 0xfedcba98u};
  }

  Case c;
  TableType type;
  Floats f32, positions;
  std::vector<uint16_t> u16;
  std::vector<int32_t> ids;
};

Floats run(const Device& device, const Problem& p) {
  Floats x(p.c.sequences * p.c.length * p.c.width);
  REQUIRE(device.gather_tokens(p.params(x)).ok());
  return x;
}

uint32_t bits(float v) {
  uint32_t b;
  std::memcpy(&b, &v, sizeof b);
  return b;
}

}  // namespace

TEST_CASE("gather_tokens equals its definition byte for byte from tables of every kind") {
  const auto device = test_device(2);
  for (TableType type : kTypes) {
    for (const Case& c : kCases) {
      const Problem p(c, type);
      Floats expected(c.sequences * c.length * c.width);
      gather_tokens_ref(p.params(expected));
      CHECK(same_bytes(run(*device, p), expected));
    }
  }
}

TEST_CASE("gather_tokens gives the same bytes on any number of threads") {
  for (TableType type : kTypes) {
    const Problem p({3, 77, 512, 5}, type);
    check_same_bytes_on_any_threads([&](const Device& device) { return run(device, p); });
  }
}

TEST_CASE("a seed gives the table that every language makes of it, bit for bit") {
  struct Known {
    uint32_t seed, first, second, last;  // elements 0 and 64 of row 0, element 64 of the last row
  };
  const int64_t width = 65;
  const std::vector<int32_t> ids = {0, 49407};
  const std::vector<float> positions(2 * width, 0.0f);
  const auto device = test_device(1);
  for (const Known& k :
       {Known{0, 0x3e21d15f, 0xbca88fe7, 0xbc805c80}, Known{7, 0xbe16616a, 0xbe1a68c8, 0xbd598520},
        Known{0xffffffffu, 0xbde21c20, 0xbd8c59f3, 0xbe3c3e0d}}) {
    CAPTURE(k.seed);
    std::vector<float> x(2 * width);
    REQUIRE(device
                ->gather_tokens({ids.data(), nullptr, TableType::kSeeded, positions.data(),
                                 x.data(), 1, 2, width, k.seed})
                .ok());
    CHECK(bits(x[0]) == k.first);
    CHECK(bits(x[64]) == k.second);
    CHECK(bits(x[129]) == k.last);
  }
}
