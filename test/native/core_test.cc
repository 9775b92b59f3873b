// The small things of native/core: statuses, sizes, memory, half floats.
#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>
#include <new>
#include <set>
#include <string>
#include <thread>
#include <vector>

#include "core/aligned.h"
#include "core/checked.h"
#include "core/copy.h"
#include "core/half.h"
#include "core/stage_clock.h"
#include "core/status.h"

using namespace acd;

namespace {

constexpr size_t kMax = std::numeric_limits<size_t>::max();

Status check_first(bool good) {
  ACD_RETURN_IF_ERROR(good ? Status() : Status(Code::kInvalidArg, "bad"));
  return Status(Code::kAborted, "went on");
}

}  // namespace

TEST_CASE("guarded turns what is thrown into a status and leaves a status alone") {
  CHECK(guarded([] { return Status(); }).ok());
  const Status own = guarded([] { return Status(Code::kQueueFull, "full"); });
  CHECK(own.code() == Code::kQueueFull);
  CHECK(own.message() == "full");
  CHECK(guarded([]() -> Status { throw std::bad_alloc(); }).code() == Code::kOutOfMemory);
  const Status internal = guarded([]() -> Status { throw std::runtime_error("why"); });
  CHECK(internal.code() == Code::kInternal);
  CHECK(internal.message() == "why");
  CHECK(guarded([]() -> Status { throw 7; }).code() == Code::kInternal);
}

TEST_CASE("a broken invariant is an internal error that names its place") {
  const Status s = guarded([]() -> Status {
    ACD_ASSERT(1 + 1 == 3);
    return Status();
  });
  CHECK(s.code() == Code::kInternal);
  CHECK(s.message().find("1 + 1 == 3") != std::string::npos);
  CHECK(s.message().find("core_test.cc") != std::string::npos);
}

TEST_CASE("an error returns early and a success does not") {
  CHECK(check_first(false).code() == Code::kInvalidArg);
  CHECK(check_first(true).code() == Code::kAborted);
}

TEST_CASE("a result holds a value or a status, never both") {
  const Result<int> good = 7, bad = Status(Code::kFileRead, "gone");
  CHECK(good.ok());
  CHECK(good.value() == 7);
  CHECK(good.status().ok());
  CHECK(!bad.ok());
  CHECK(bad.status().code() == Code::kFileRead);
}

TEST_CASE("every code but OK has a name of its own that starts with ERR_ACD_") {
  std::set<std::string> names;
  const int last = static_cast<int>(Code::kInternal);
  for (int c = 1; c <= last; ++c) {
    const std::string name = code_name(static_cast<Code>(c));
    CHECK(name.rfind("ERR_ACD_", 0) == 0);
    names.insert(name);
  }
  CHECK(names.size() == static_cast<size_t>(last));
  CHECK(std::string(code_name(Code::kOk)) == "OK");
}

TEST_CASE("products and sums of sizes give nothing instead of wrapping around") {
  CHECK(checked_mul(0, kMax) == size_t{0});
  CHECK(checked_mul(1, kMax) == kMax);
  CHECK(!checked_mul(2, kMax / 2 + 1));
  CHECK(!checked_mul(size_t{1} << 32, size_t{1} << 32));
  CHECK(checked_add(kMax, 0) == kMax);
  CHECK(!checked_add(kMax, 1));
  CHECK(checked_product(3) == size_t{3});
  CHECK(checked_product(3, 5, 7) == size_t{105});
  CHECK(!checked_product(size_t{1} << 30, size_t{1} << 30, 16));
  CHECK(!checked_product(kMax, 2, 0));  // an overflow on the way stays one
}

TEST_CASE("aligned memory is aligned, counts itself and goes back to the start") {
  const size_t before = live_bytes();
  {
    AlignedBytes small(1), large(size_t{9} << 20);
    FloatBuffer floats(1000);
    CHECK(live_bytes() - before == 1 + (size_t{9} << 20) + 4000);
    CHECK(peak_bytes() >= live_bytes());
    CHECK(reinterpret_cast<uintptr_t>(small.data()) % 64 == 0);
    CHECK(reinterpret_cast<uintptr_t>(large.data()) % 64 == 0);
    CHECK(reinterpret_cast<uintptr_t>(floats.data()) % 64 == 0);
    CHECK(floats.size() == 1000);
    std::memset(large.data(), 1, large.bytes());
  }
  CHECK(live_bytes() == before);
}

TEST_CASE("moved aligned memory has one owner") {
  const size_t before = live_bytes();
  {
    AlignedBytes a(100);
    const uint8_t* data = a.data();
    AlignedBytes b(std::move(a));
    CHECK(b.data() == data);
    CHECK(b.bytes() == 100);
    AlignedBytes c(50);
    c = std::move(b);
    CHECK(c.data() == data);
    CHECK(live_bytes() - before <= 150);
  }
  CHECK(live_bytes() == before);
}

TEST_CASE("no bytes are no memory") {
  const size_t before = live_bytes();
  AlignedBytes none(0);
  FloatBuffer no_floats(0);
  CHECK(none.data() == nullptr);
  CHECK(no_floats.size() == 0);
  CHECK(live_bytes() == before);
}

TEST_CASE(
    "a count of floats that overflows, or that nobody has, throws bad_alloc and counts nothing") {
  const size_t before = live_bytes();
  CHECK_THROWS_AS(FloatBuffer{kMax / 2}, std::bad_alloc);
  CHECK(live_bytes() == before);
#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
  // Sanitizers end the process instead.
  CHECK_THROWS_AS(AlignedBytes{kMax / 4}, std::bad_alloc);
  CHECK(live_bytes() == before);
#endif
}

TEST_CASE("every 16-bit float becomes the float of the same value") {
  for (uint32_t h = 0; h < 0x10000; ++h) {
    const int e = (h >> 10) & 31, m = h & 1023;
    const float value = float_of_f16(static_cast<uint16_t>(h));
    bool right = std::signbit(value) == ((h & 0x8000) != 0);
    if (e == 31) {
      right &= m ? std::isnan(value) : std::isinf(value);
    } else {
      right &= std::fabs(value) == (e ? std::ldexp(1024.0 + m, e - 25) : std::ldexp(m, -24));
    }
    if (!right) FAIL_CHECK("f16 bits " << h);
  }
  CHECK(float_of_bf16(0x3f80) == 1.0f);
  CHECK(float_of_bf16(0xc040) == -3.0f);
  CHECK(std::isinf(float_of_bf16(0x7f80)));
  CHECK(std::isnan(float_of_bf16(0x7fc0)));
}

TEST_CASE("a float becomes the nearest f16, ties to even, and saturates") {
  for (uint32_t h = 0; h < 0x7bff; ++h) {
    const float low = float_of_f16(static_cast<uint16_t>(h));
    const float high = float_of_f16(static_cast<uint16_t>(h + 1));
    const float middle = low + (high - low) / 2;
    const uint32_t even = h % 2 ? h + 1 : h;
    bool right = f16_of_float(low) == h && f16_of_float(-low) == (h | 0x8000) &&
                 f16_of_float(middle) == even;
    right &= f16_of_float(std::nextafterf(middle, low)) == h;
    right &= f16_of_float(std::nextafterf(middle, high)) == h + 1;
    if (!right) FAIL_CHECK("f16 bits " << h);
  }
  CHECK(f16_of_float(1e6f) == 0x7bff);
  CHECK(f16_of_float(-INFINITY) == 0xfbff);
  CHECK(std::isnan(float_of_f16(f16_of_float(NAN))));
}

TEST_CASE("a stage clock is its thread's while it lives, and sums equal calls") {
  CHECK(StageClock::current() == nullptr);
  {
    StageClock outer;
    StageClock::current()->add({"linear", 5, 8, 16, 0, 1.5});
    {
      StageClock inner;
      CHECK(StageClock::current() == &inner);
    }
    REQUIRE(StageClock::current() == &outer);
    outer.add({"linear", 5, 8, 32, 0, 1});
    outer.add({"linear", 5, 8, 16, 0, 0.5});
    REQUIRE(outer.stages().size() == 2);
    CHECK(outer.stages()[0].calls == 2);
    CHECK(outer.stages()[0].ms == 2);
    CHECK(outer.stages()[1].to == 32);
    bool other = true;
    std::thread([&] { other = StageClock::current() != nullptr; }).join();
    CHECK_FALSE(other);
  }
  CHECK(StageClock::current() == nullptr);
}

TEST_CASE(
    "copies for another thread are whole at every size and offset, and write nothing beside") {
  std::vector<uint8_t> from(70000), to(70000);
  for (size_t i = 0; i < from.size(); ++i) from[i] = static_cast<uint8_t>(i * 31 + i / 251);
  for (size_t bytes : {size_t{0}, size_t{1}, size_t{63}, size_t{16383}, size_t{16384},
                       size_t{16385}, size_t{16447}, size_t{65000}}) {
    for (size_t source = 0; source < 70; source += 7) {
      for (size_t target = 1; target < 70; target += 3) {
        std::fill(to.begin(), to.end(), uint8_t{7});
        copy_for_another_thread(to.data() + target, from.data() + source, bytes);
        REQUIRE(std::equal(to.data() + target, to.data() + target + bytes, from.data() + source));
        REQUIRE(std::all_of(to.begin(), to.begin() + static_cast<int64_t>(target),
                            [](uint8_t v) { return v == 7; }));
        REQUIRE(std::all_of(to.begin() + static_cast<int64_t>(target + bytes), to.end(),
                            [](uint8_t v) { return v == 7; }));
      }
    }
  }
}

TEST_CASE("a vector of unset elements keeps those it had") {
  UnsetVector<uint8_t> v = {1, 2, 3};
  v.resize(2);
  v.resize(200);
  CHECK(v[0] == 1);
  CHECK(v[1] == 2);
  v.push_back(9);
  CHECK(v.back() == 9);
}
