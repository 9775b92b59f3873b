// Which attention kernel is chosen, without a GPU: cuDNN is a set of functions that answer.
#include "backend/cuda/host/attention_choice.h"

#include <doctest/doctest.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <string>

using namespace acd;

namespace {

constexpr auto kOurs = AttentionKernel::kOurs;
constexpr auto kCudnn = AttentionKernel::kCudnn;

AttentionParams shape(int64_t batch, NumberType type = NumberType::kBf16) {
  return {nullptr, nullptr, batch, 1370, 16, false, type};
}

struct FakeCudnn {
  Status prepared, same, timed;
  float ours = 2, cudnn = 1;
  int prepares = 0, measures = 0;

  AttentionChoice::Contest contest() {
    return {[this] { return ++prepares, prepared; }, [this] { return same; },
            [this](AttentionKernel kernel, float& ms) {
              ++measures;
              ms = kernel == kOurs ? ours : cudnn;
              return timed;
            }};
  }
};

AttentionKernel chosen(AttentionChoice& choice, FakeCudnn& fake, int64_t batch = 1,
                       bool may_measure = true) {
  const auto kernel = choice.choose(shape(batch), may_measure, fake.contest());
  REQUIRE(kernel.ok());
  return kernel.value();
}

bool reports(const AttentionChoice& choice, const std::string& text) {
  for (const std::string& line : choice.report())
    if (line.find(text) != std::string::npos) return true;
  return false;
}

// A file of its own.
struct CacheFile {
  CacheFile() {
    char name[] = "/tmp/acd-choice-XXXXXX";
    ::close(::mkstemp(name));
    path = name;
  }
  ~CacheFile() { std::remove(path.c_str()); }
  std::string path;
};

const char* g_asked = nullptr;
const char* fake_environ(const char*) { return g_asked; }

}  // namespace

TEST_CASE("the faster attention is chosen at a shape's first use, once, and reported with both") {
  AttentionChoice choice("", "here", AttentionWish::kFaster);
  FakeCudnn fake;
  CHECK(chosen(choice, fake) == kCudnn);
  CHECK(chosen(choice, fake) == kCudnn);
  CHECK(fake.measures == 2);
  CHECK(reports(choice, "attention 1x1370x16_bf16: cuDNN (ours 2.0000 ms, cuDNN 1.0000 ms)"));
  fake.cudnn = 3;
  CHECK(chosen(choice, fake, 12) == kOurs);
  CHECK(chosen(choice, fake, 1) == kCudnn);
  CHECK(choice.choose(shape(1, NumberType::kF16), true, fake.contest()).value() == kOurs);
  CHECK(choice.report().size() == 3);
}

TEST_CASE("where cuDNN says no or another result, ours is used and the reason reported") {
  AttentionChoice choice("", "here", AttentionWish::kFaster);
  FakeCudnn fake;
  fake.prepared = Status(Code::kUnsupported, "cuDNN has no plan for it");
  CHECK(chosen(choice, fake, 1) == kOurs);
  CHECK(chosen(choice, fake, 1) == kOurs);
  CHECK(fake.prepares == 1);
  CHECK(reports(choice, "ours (cuDNN has no plan for it)"));
  fake.prepared = Status();
  fake.same = Status(Code::kUnsupported, "cuDNN's result differs");
  CHECK(chosen(choice, fake, 2) == kOurs);
  CHECK(fake.measures == 0);
  CHECK(reports(choice, "cuDNN's result differs"));
}

TEST_CASE("out of memory is no answer: ours this time, measured the next") {
  AttentionChoice choice("", "here", AttentionWish::kFaster);
  FakeCudnn fake;
  fake.timed = Status(Code::kOutOfMemory, "full");
  CHECK(chosen(choice, fake) == kOurs);
  CHECK(choice.report().empty());
  fake.timed = Status();
  CHECK(chosen(choice, fake) == kCudnn);
}

TEST_CASE("a device that fails while it is measured says so") {
  AttentionChoice choice("", "here", AttentionWish::kFaster);
  FakeCudnn fake;
  fake.timed = Status(Code::kDeviceUnavailable, "lost");
  const auto kernel = choice.choose(shape(1), true, fake.contest());
  CHECK(!kernel.ok());
  CHECK(kernel.status().message() == "lost");
}

TEST_CASE("nothing is measured while a graph is captured") {
  AttentionChoice choice("", "here", AttentionWish::kFaster);
  FakeCudnn fake;
  CHECK(chosen(choice, fake, 1, false) == kOurs);
  CHECK(fake.prepares == 0);
  CHECK(chosen(choice, fake, 1, true) == kCudnn);
  CHECK(chosen(choice, fake, 1, false) == kCudnn);
}

TEST_CASE("a choice of an earlier process holds for the same device and library alone") {
  const CacheFile file;
  FakeCudnn fake;
  AttentionChoice first(file.path, "cuDNN 9.24 on H100", AttentionWish::kFaster);
  CHECK(chosen(first, fake) == kCudnn);
  fake.cudnn = 5;
  AttentionChoice again(file.path, "cuDNN 9.24 on H100", AttentionWish::kFaster);
  CHECK(chosen(again, fake) == kCudnn);
  CHECK(fake.measures == 2);
  CHECK(fake.prepares == 2);  // a plan is the process's own
  CHECK(reports(again, "measured before"));
  AttentionChoice elsewhere(file.path, "cuDNN 9.24 on A100", AttentionWish::kFaster);
  CHECK(chosen(elsewhere, fake) == kOurs);
}

TEST_CASE("the environment variable forces either, cuDNN only where it can") {
  g_asked = nullptr;
  CHECK(attention_wish(fake_environ) == AttentionWish::kFaster);
  g_asked = "ours";
  CHECK(attention_wish(fake_environ) == AttentionWish::kOurs);
  g_asked = "cudnn";
  CHECK(attention_wish(fake_environ) == AttentionWish::kCudnn);
  FakeCudnn fake;
  AttentionChoice ours("", "here", AttentionWish::kOurs);
  CHECK(chosen(ours, fake) == kOurs);
  CHECK(fake.prepares == 0);
  fake.cudnn = 9;
  AttentionChoice cudnn("", "here", AttentionWish::kCudnn);
  CHECK(chosen(cudnn, fake) == kCudnn);
  CHECK(fake.measures == 0);
  fake.prepared = Status(Code::kUnsupported, "no plan");
  CHECK(chosen(cudnn, fake, 2) == kOurs);
  CHECK(reports(cudnn, "attention 2x1370x16_bf16: ours (no plan)"));
}
