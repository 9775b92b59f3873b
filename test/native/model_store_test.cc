// One copy of the weights for everybody who loads the same files.
#include "infer/model_store.h"

#include <doctest/doctest.h>

#include <atomic>
#include <thread>

#include "core/aligned.h"
#include "tiny_model.h"

using namespace acd;
using acd::test::FaultyDevice;
using acd::test::TinyModel;
using Model = std::shared_ptr<const AcdClip>;

TEST_CASE("equal keys load once, also at the same time, for as long as somebody holds the model") {
  const TinyModel tiny;
  FaultyDevice faulty(1);
  const size_t before = live_bytes();
  std::atomic<int> loads{0};
  const auto load = [&]() -> Result<Model> {
    ++loads;
    std::this_thread::sleep_for(std::chrono::milliseconds(5));
    return tiny.load(faulty.device());
  };
  {
    std::vector<Model> models(4);
    std::vector<std::thread> threads;
    for (auto& m : models) threads.emplace_back([&] { m = shared_model("k", load).value(); });
    for (auto& t : threads) t.join();
    CHECK(loads == 1);
    for (auto& m : models) CHECK(m.get() == models[0].get());
    CHECK(store_info().models == 1);
    CHECK(store_info().bytes == models[0]->weight_bytes());
    const Model other = shared_model("another", load).value();
    CHECK(other.get() != models[0].get());
    CHECK(store_info().models == 2);
  }
  CHECK(store_info().models == 0);
  CHECK(live_bytes() == before);
  CHECK(shared_model("k", load).ok());
  CHECK(loads == 3);
}

TEST_CASE("a load that fails is not kept: the one who waited for it loads by itself") {
  const TinyModel tiny;
  FaultyDevice faulty(1);
  std::atomic<int> loads{0};
  const auto load = [&]() -> Result<Model> {
    std::this_thread::sleep_for(std::chrono::milliseconds(5));
    if (++loads == 1) return Status(Code::kAborted, "gave up");
    return tiny.load(faulty.device());
  };
  std::atomic<int> good{0};
  std::vector<Model> keep(3);
  std::vector<std::thread> threads;
  for (auto& m : keep) {
    threads.emplace_back([&] {
      auto r = shared_model("f", load);
      if (r.ok()) m = r.value(), ++good;
    });
  }
  for (auto& t : threads) t.join();
  CHECK(good == 2);
  CHECK(loads == 2);
}

TEST_CASE("an exception of one load reaches its caller and locks nobody out") {
  const TinyModel tiny;
  FaultyDevice faulty(1);
  CHECK_THROWS_AS((void)shared_model("x", []() -> Result<Model> { throw std::bad_alloc(); }),
                  std::bad_alloc);
  CHECK(shared_model("x", [&] { return tiny.load(faulty.device()); }).ok());
}

TEST_CASE("an empty key shares nothing") {
  const TinyModel tiny;
  FaultyDevice faulty(1);
  const auto load = [&] { return tiny.load(faulty.device()); };
  const Model a = shared_model("", load).value(), b = shared_model("", load).value();
  CHECK(a.get() != b.get());
  CHECK(store_info().models == 0);
}
