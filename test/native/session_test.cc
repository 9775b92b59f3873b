// What a Session promises to whoever submits jobs, also when the device fails it.
#include "infer/session.h"

#include <doctest/doctest.h>

#include <cmath>
#include <limits>

#include "backend/cpu/cpu_backend.h"
#include "core/aligned.h"
#include "count_new.h"
#include "session_calls.h"
#include "tiny_model.h"

using namespace acd;
using namespace acd::test;

namespace {

const TinyModel& tiny() {
  static const TinyModel model;
  return model;
}

std::shared_ptr<const AcdClip> loaded(const FaultyDevice& faulty,
                                      Precision precision = Precision::kFp32) {
  auto model = tiny().load(faulty.device(), precision);
  REQUIRE(model.ok());
  return model.value();
}

std::vector<Precision> usable_precisions() {
  std::vector<Precision> usable;
  for (Precision p : kPrecisions) {
    if (cpu_precision(p).available) usable.push_back(p);
  }
  return usable;
}

void check_same_bytes(Precision precision) {
  std::vector<Found> alone;
  for (int threads : {1, 2, 3, 8}) {
    CAPTURE(threads);
    FaultyDevice faulty(threads);
    Session session(loaded(faulty, precision), 64);
    for (int seed = 0; seed < 5; ++seed) {
      auto found = detect(session, detect_job(seed)).second;
      if (threads == 1) alone.push_back(found);
      CHECK(same(found, alone[static_cast<size_t>(seed)]));
    }
    for (int rotation = 0; rotation < 5; ++rotation) {
      faulty.door.close();
      auto blocker = submit(session, detect_job(9));
      faulty.door.await_visitor();
      std::vector<Submitted> batch;
      for (int i = 0; i < 5; ++i) batch.push_back(submit(session, detect_job((i + rotation) % 5)));
      faulty.door.open();
      for (int i = 0; i < 5; ++i) {
        const auto found = batch[static_cast<size_t>(i)].answer->get().second;
        CHECK(found.batch == 5);
        CHECK(same(found, alone[static_cast<size_t>((i + rotation) % 5)]));
      }
      blocker.answer->get();
    }
  }
}

}  // namespace

TEST_CASE("a load that runs out of memory at any call says so, frees all, and the next one works") {
  FaultyDevice faulty(2);
  const size_t before = live_bytes();
  int64_t calls = faulty.calls();
  size_t held = 0;
  {
    const auto model = loaded(faulty);
    held = live_bytes() - before;
    CHECK(held == model->weight_bytes());
  }
  calls = faulty.calls() - calls;
  CHECK(calls > 100);
  CHECK(live_bytes() == before);
  for (int64_t n = 1; n <= calls; ++n) {
    CAPTURE(n);
    faulty.fail_at(n);
    const auto failed = tiny().load(faulty.device());
    REQUIRE(!failed.ok());
    CHECK(failed.status().code() == Code::kOutOfMemory);
    CHECK(failed.status().message() == "made to fail");
    CHECK(live_bytes() == before);
  }
  faulty.fail_at(0);
  CHECK(loaded(faulty)->weight_bytes() == held);
  CHECK(live_bytes() == before);
}

TEST_CASE("a call that runs out of memory at any step says so, and the next one works") {
  // One thread: the scratch memory of a team's threads would come at times of their own.
  FaultyDevice faulty(1);
  const size_t empty = live_bytes();
  {
    const auto model = loaded(faulty);
    Session session(model, 8);
    DetectJob debug = detect_job(3);
    debug.debug = true;
    const auto expected = detect(session, debug).second;
    const auto expected_text = encode(session, text_job()).second;
    CHECK(expected_text.size() == 2 * 64 * 2);
    const size_t warm = live_bytes();

    int64_t calls = faulty.calls();
    {
      // A fresh session, so that making its workspace is among the calls.
      Session first(model, 8);
      REQUIRE(detect(first, debug).first.ok());
    }
    calls = faulty.calls() - calls;
    CHECK(calls > 50);
    for (int64_t n = 1; n <= calls; ++n) {
      CAPTURE(n);
      Session first(model, 8);
      faulty.fail_at(n);
      CHECK(detect(first, debug).first.code() == Code::kOutOfMemory);
      faulty.fail_at(0);
      const auto next = detect(first, debug);
      CHECK(next.first.ok());
      CHECK(same(next.second, expected));
    }
    CHECK(live_bytes() == warm);

    calls = faulty.calls();
    REQUIRE(encode(session, text_job()).first.ok());
    calls = faulty.calls() - calls;
    for (int64_t n = 1; n <= calls; ++n) {
      CAPTURE(n);
      faulty.fail_at(n);
      CHECK(encode(session, text_job()).first.code() == Code::kOutOfMemory);
      CHECK(live_bytes() == warm);
      faulty.fail_at(0);
      const auto next = encode(session, text_job());
      CHECK(next.first.ok());
      CHECK(next.second == expected_text);
    }
  }
  CHECK(live_bytes() == empty);
}

TEST_CASE("results have the same bytes on any number of threads and at any place of a batch") {
  for (Precision precision : usable_precisions()) {
    CAPTURE(precision_name(precision));
    check_same_bytes(precision);
  }
}

TEST_CASE("a precision that this level lacks is refused with the reason; the others are kept") {
  FaultyDevice faulty(1);
  for (Precision precision : kPrecisions) {
    CAPTURE(precision_name(precision));
    const PrecisionSupport support = cpu_precision(precision);
    CHECK(!support.reason.empty());
    const auto model = tiny().load(faulty.device(), precision);
    REQUIRE(model.ok() == support.available);
    if (model.ok()) {
      CHECK(model.value()->config().precision == precision);
    } else {
      CHECK(model.status().code() == Code::kUnsupported);
      CHECK(model.status().message().find(support.reason) != std::string::npos);
    }
  }
}

TEST_CASE("every precision gives nearly the result of fp32, with less memory for weights") {
  FaultyDevice faulty(2);
  const auto reference = loaded(faulty);
  Session exact(reference, 8);
  const auto expected = detect(exact, detect_job(1)).second;
  for (Precision precision : usable_precisions()) {
    if (precision == Precision::kFp32) continue;
    CAPTURE(precision_name(precision));
    const auto model = loaded(faulty, precision);
    CHECK(model->weight_bytes() < reference->weight_bytes());
    Session session(model, 8);
    const auto found = detect(session, detect_job(1)).second;
    CHECK(!same(found, expected));
    CHECK(std::fabs(found.score - expected.score) < 0.02);
  }
}

TEST_CASE("after the first picture of a size no other takes new memory to compute") {
  for (Precision precision : usable_precisions()) {
    CAPTURE(precision_name(precision));
    FaultyDevice faulty(2);
    Session session(loaded(faulty, precision), 8);
    DetectJob jobs[12];
    std::vector<float> map(640 * 480);
    for (DetectJob& job : jobs) {
      job = detect_job(1, 640, 480);
      job.map = MapSize::kImage;
      job.map_out = map.data();
    }
    int64_t before_news = 0, before_calls = 0;
    size_t before_bytes = 0;
    for (int i = 0; i < 12; ++i) {
      if (i == 4) {
        before_news = acd::test::large_allocations();
        before_calls = faulty.allocations();
        before_bytes = live_bytes();
      }
      auto answer = std::make_shared<Answer<Detection>>();
      REQUIRE(session.submit(std::move(jobs[i]), into(answer)).ok());
      REQUIRE(answer->get().first.ok());
    }
    CHECK(acd::test::large_allocations() == before_news);
    CHECK(faulty.allocations() == before_calls);
    CHECK(live_bytes() == before_bytes);
  }
}

TEST_CASE("one call more than the queue's limit is refused, and the next call works") {
  FaultyDevice faulty(1);
  Session session(loaded(faulty), 2);
  faulty.door.close();
  auto running = submit(session, detect_job(0));
  faulty.door.await_visitor();
  auto second = submit(session, detect_job(1)), third = submit(session, detect_job(2));
  CHECK(session.waiting() == 2);
  const auto refused = submit(session, detect_job(3));
  CHECK(refused.id.status().code() == Code::kQueueFull);
  CHECK(refused.answer->times == 0);
  faulty.door.open();
  for (auto* s : {&running, &second, &third}) CHECK(s->answer->get().first.ok());
  CHECK(detect(session, detect_job(3)).first.ok());
}

TEST_CASE("a waiting call is cancelled at once; a running one between layers; the others go on") {
  FaultyDevice faulty(1);
  Session session(loaded(faulty), 8);
  const auto expected = detect(session, detect_job(2)).second;
  faulty.door.close();
  auto running = submit(session, detect_job(0));
  faulty.door.await_visitor();
  auto waiting = submit(session, detect_job(1)), other = submit(session, detect_job(2));
  session.cancel(waiting.id.value());
  REQUIRE(waiting.answer->here());
  CHECK(waiting.answer->get().first.code() == Code::kAborted);
  session.cancel(running.id.value());
  CHECK(!running.answer->here());
  session.cancel(12345);
  const int64_t calls = faulty.calls();
  faulty.door.open();
  CHECK(running.answer->get().first.code() == Code::kAborted);
  CHECK(same(other.answer->get().second, expected));
  CHECK(faulty.calls() > calls);
  session.cancel(running.id.value());
  for (auto* s : {&running, &waiting, &other}) CHECK(s->answer->times == 1);
}

TEST_CASE("a job that asks for stages gets those of its batch; its neighbour gets none") {
  FaultyDevice faulty(1);
  Session session(loaded(faulty), 8);
  const auto expected = detect(session, detect_job(1)).second;
  CHECK(expected.timing.stages.empty());
  faulty.door.close();
  auto blocker = submit(session, detect_job(0));
  faulty.door.await_visitor();
  DetectJob asking = detect_job(1);
  asking.stages = true;
  auto timed = submit(session, asking), plain = submit(session, detect_job(2));
  faulty.door.open();
  const Found found = timed.answer->get().second;
  CHECK(found.batch == 2);
  CHECK(same(found, expected));
  double sum = 0;
  int64_t attention = 0;
  for (const Stage& s : found.timing.stages) {
    sum += s.ms;
    if (std::string(s.op) == "attention") attention += s.calls;
  }
  CHECK(attention > 0);
  CHECK(sum <= found.timing.compute_ms);
  CHECK(plain.answer->get().second.timing.stages.empty());
  blocker.answer->get();
}

TEST_CASE("cancelling one picture of a batch leaves the others their results") {
  FaultyDevice faulty(2);
  Session session(loaded(faulty), 8);
  const auto expected = detect(session, detect_job(2)).second;
  faulty.door.close();
  auto blocker = submit(session, detect_job(0));
  faulty.door.await_visitor();
  auto one = submit(session, detect_job(1)), two = submit(session, detect_job(2));
  faulty.door.open();
  CHECK(blocker.answer->get().first.ok());
  // Running or done by now: either is a legal time to cancel.
  session.cancel(one.id.value());
  const Code code = one.answer->get().first.code();
  CHECK((code == Code::kAborted || code == Code::kOk));
  CHECK(same(two.answer->get().second, expected));
}

TEST_CASE("closing waits for the running call, rejects waiting ones and frees everything") {
  FaultyDevice faulty(1);
  const size_t before = live_bytes();
  auto owner = std::make_unique<Session>(loaded(faulty), 8);
  Session& session = *owner;
  faulty.door.close();
  auto running = submit(session, detect_job(0));
  faulty.door.await_visitor();
  auto waiting = submit(session, detect_job(1));
  std::promise<void> closed;
  session.close(false, [&] { closed.set_value(); });
  auto done = closed.get_future();
  CHECK(done.wait_for(std::chrono::milliseconds(20)) == std::future_status::timeout);
  CHECK(submit(session, detect_job(2)).id.status().code() == Code::kDisposed);
  faulty.door.open();
  CHECK(running.answer->get().first.ok());
  CHECK(waiting.answer->get().first.code() == Code::kAborted);
  REQUIRE(done.wait_for(std::chrono::seconds(60)) == std::future_status::ready);
  CHECK(session.workspace_bytes() == 0);
  owner.reset();  // joins the thread, whose scratch memory goes with it
  CHECK(live_bytes() == before);
}

TEST_CASE("closing in a hurry stops the running call between layers") {
  FaultyDevice faulty(1);
  Session session(loaded(faulty), 8);
  faulty.door.close();
  auto running = submit(session, detect_job(0));
  faulty.door.await_visitor();
  std::promise<void> closed;
  session.close(true, [&] { closed.set_value(); });
  faulty.door.open();
  CHECK(running.answer->get().first.code() == Code::kAborted);
  closed.get_future().wait();
}

TEST_CASE("jobs of the wrong size are refused before they wait") {
  FaultyDevice faulty(1);
  Session session(loaded(faulty), 8);
  const auto refused = [&](DetectJob job) {
    return submit(session, std::move(job)).id.status().code() == Code::kInvalidArg;
  };
  DetectJob job = detect_job(0);
  job.picture.pixels.pop_back();
  CHECK(refused(job));
  job = detect_job(0);
  job.picture.height = 0;
  CHECK(refused(job));
  job = detect_job(0);
  job.text.push_back(0);
  CHECK(refused(job));
  job = detect_job(0);
  job.picture.tensor.assign(7, 0.0f);
  CHECK(refused(job));
  TextJob text = text_job();
  text.tokens[1] = 40;
  CHECK(encode(session, text).first.code() == Code::kCheckpointMismatch);
  text.tokens[1] = -1;
  CHECK(encode(session, text).first.code() == Code::kCheckpointMismatch);
  text = text_job();
  text.length = 3;
  CHECK(encode(session, text).first.code() == Code::kInvalidArg);
}

TEST_CASE("NaN and Inf never leave as a score, and spoil no other picture of the batch") {
  FaultyDevice faulty(2);
  Session session(loaded(faulty), 8);
  const auto expected = detect(session, detect_job(1)).second;
  for (float bad :
       {std::numeric_limits<float>::quiet_NaN(), std::numeric_limits<float>::infinity(), 3e38f}) {
    CAPTURE(bad);
    DetectJob poisoned = detect_job(0);
    poisoned.text.assign(poisoned.text.size(), bad);
    poisoned.text[1] = -bad;
    faulty.door.close();
    auto blocker = submit(session, detect_job(2));
    faulty.door.await_visitor();
    auto first = submit(session, poisoned), second = submit(session, detect_job(1));
    faulty.door.open();
    const auto found = first.answer->get();
    if (found.first.ok()) {
      CHECK(std::isfinite(found.second.score));
    } else {
      CHECK(found.first.code() == Code::kNonFinite);
    }
    if (std::isnan(bad)) CHECK(!found.first.ok());
    CHECK(same(second.answer->get().second, expected));
    blocker.answer->get();
  }
  DetectJob tensor = detect_job(0);
  tensor.picture.tensor.assign(3 * 28 * 28, std::numeric_limits<float>::quiet_NaN());
  CHECK(detect(session, tensor).first.code() == Code::kNonFinite);
  EmbedJob embed;
  embed.picture = tensor.picture;
  auto answer = std::make_shared<Answer<Embedding>>();
  REQUIRE(session.submit(embed, into(answer)).ok());
  CHECK(answer->get().first.code() == Code::kNonFinite);
}

TEST_CASE("every call of a crowd is answered exactly once, whoever cancels and closes") {
  for (int round = 0; round < 10; ++round) {
    FaultyDevice faulty(2);
    const auto model = loaded(faulty);
    Session session(model, 16);
    std::mutex mutex;
    std::vector<Detected> answers;
    const auto crowd = [&](int seed) {
      for (int i = 0; i < 12; ++i) {
        Submitted s = submit(session, detect_job(seed + i));
        if (!s.id.ok()) continue;
        if (i % 3 == 0) session.cancel(s.id.value());
        std::lock_guard<std::mutex> lock(mutex);
        answers.push_back(s.answer);
      }
    };
    std::thread a(crowd, 0), b(crowd, 100);
    crowd(200);
    if (round % 2) close_and_wait(session, round % 4 == 1);
    a.join();
    b.join();
    if (round % 2 == 0) close_and_wait(session);
    for (const auto& answer : answers) {
      const Code code = answer->get().first.code();
      CHECK((code == Code::kOk || code == Code::kAborted));
      CHECK(answer->times == 1);
    }
  }
}

TEST_CASE("two sessions of one model on one team give what one alone gives") {
  FaultyDevice faulty(3);
  const auto model = loaded(faulty);
  Session first(model, 64), second(model, 64);
  const auto expected = detect(first, detect_job(5)).second;
  std::vector<Submitted> all;
  for (int i = 0; i < 20; ++i) {
    all.push_back(submit(first, detect_job(5)));
    all.push_back(submit(second, detect_job(5)));
  }
  for (auto& s : all) CHECK(same(s.answer->get().second, expected));
}
