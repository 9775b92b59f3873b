// What a Session promises on a device with streams: the CPU's bytes, however batches overlap and
// whatever is a graph.
#include <algorithm>
#include <cmath>

#include "emulated_cuda.h"
#include "lazy_device.h"
#include "session_calls.h"
#include "tiny_model.h"

using namespace acd;
using namespace acd::test;

namespace {

const TinyModel& tiny() {
  static const TinyModel model;
  return model;
}

template <typename D>
std::shared_ptr<const AcdClip> loaded(const D& device) {
  auto model = tiny().load(device.device());
  REQUIRE(model.ok());
  return model.value();
}

// Pictures of many sizes: both passes of the resize, one, none; and a tensor.
DetectJob some_job(int i) {
  const int64_t sizes[][2] = {{19, 11}, {28, 28}, {28, 50}, {300, 2}, {2, 211}, {19, 11}};
  const auto& size = sizes[i % 6];
  DetectJob job = detect_job(i % 9, size[0], size[1]);
  if (i % 7 == 3) {
    for (int64_t k = 0; k < 3 * 28 * 28; ++k)
      job.picture.tensor.push_back(static_cast<float>((k * 13 + i) % 29 - 14) * 0.1f);
  }
  if (i % 5 == 1) {
    job.blur_taps = 3;
    job.blur_sigma = 0.5f;
  }
  if (i % 11 == 4) job.map = MapSize::kImage;
  return job;
}

// On the CPU, alone.
std::vector<Found> expected_of(int count) {
  const FaultyDevice cpu(1);
  Session session(loaded(cpu), 8);
  std::vector<Found> all;
  for (int i = 0; i < count; ++i) {
    auto [status, found] = detect(session, some_job(i));
    REQUIRE(status.ok());
    all.push_back(std::move(found));
  }
  return all;
}

Found expected_of_job(const DetectJob& job) {
  const FaultyDevice cpu(1);
  Session session(loaded(cpu), 8);
  return detect(session, job).second;
}

// Jobs that wait for each other in the queue, so that full batches are formed.
std::vector<Submitted> submit_behind(LazyDevice& lazy, Session& session,
                                     const std::vector<DetectJob>& jobs) {
  lazy.door.close();
  Submitted first = submit(session, detect_job(0));
  lazy.door.await_visitor();
  std::vector<Submitted> all;
  for (const DetectJob& job : jobs) all.push_back(submit(session, job));
  lazy.reset_counts();
  lazy.door.open();
  REQUIRE(first.answer->get().first.ok());
  return all;
}

}  // namespace

TEST_CASE(
    "pictures on streams have the CPU's bytes: alone, in batches, and while others are under way") {
  const std::vector<Found> expected = expected_of(60);
  for (bool eager : {false, true}) {
    CAPTURE(eager);
    LazyDevice lazy;
    lazy.set_eager(eager);
    Session session(loaded(lazy), 128);
    for (int i = 0; i < 9; ++i) {
      CAPTURE(i);
      CHECK(same(detect(session, some_job(i)).second, expected[static_cast<size_t>(i)]));
    }
    for (int round = 0; round < 3; ++round) {
      std::vector<Submitted> all;
      for (int i = 0; i < 60; ++i) all.push_back(submit(session, some_job(i)));
      for (int i = 0; i < 60; ++i) {
        CAPTURE(i);
        auto [status, found] = all[static_cast<size_t>(i)].answer->get();
        CHECK(status.ok());
        CHECK(same(found, expected[static_cast<size_t>(i)]));
      }
    }
  }
}

TEST_CASE("a batch on streams is one upload a picture, one of texts, one download") {
  LazyDevice lazy;
  Session session(loaded(lazy), 128);
  for (int round = 0; round < 2; ++round) {
    auto all = submit_behind(lazy, session, std::vector<DetectJob>(6, detect_job(1)));
    for (Submitted& s : all) CHECK(s.answer->get().second.batch == 6);
    const LazyDevice::Counts counts = lazy.counts();
    // The first time the tables of the resize go up too, and one download was counted at the gate.
    CHECK(counts.uploads == 6 + 1 + (round == 0 ? 1 : 0));
    CHECK(counts.downloads == 2);
  }
}

TEST_CASE("the next batch goes up before the results of the last one are waited for") {
  LazyDevice lazy;
  Session session(loaded(lazy), 128);
  auto all = submit_behind(lazy, session, std::vector<DetectJob>(48, detect_job(1)));
  for (Submitted& s : all) CHECK(s.answer->get().second.batch == 24);
  const std::vector<int> before = lazy.counts().uploads_before;
  REQUIRE(before.size() == 3);
  CHECK(before[1] >= 48);
}

TEST_CASE("batches on a GPU have few sizes") {
  LazyDevice lazy;
  Session session(loaded(lazy), 128);
  auto all = submit_behind(lazy, session, std::vector<DetectJob>(23, detect_job(1)));
  std::vector<int64_t> sizes;
  for (Submitted& s : all) sizes.push_back(s.answer->get().second.batch);
  const auto count = [&](int64_t n) { return std::count(sizes.begin(), sizes.end(), n); };
  CHECK(count(12) == 12);
  CHECK(count(6) == 6);
  CHECK(count(3) == 3);
  CHECK(count(2) == 2);
}

TEST_CASE("texts, embeddings, debug values and stages on streams are the CPU's") {
  const FaultyDevice cpu(1);
  Session reference(loaded(cpu), 8);
  LazyDevice lazy;
  Session session(loaded(lazy), 128);
  DetectJob debug = detect_job(3);
  debug.debug = true;
  const auto embed = [](Session& s) {
    auto answer = std::make_shared<Answer<Embedding>>();
    REQUIRE(s.submit(EmbedJob{detect_job(2).picture, true}, into(answer)).ok());
    return answer;
  };
  const Found expected = detect(reference, debug).second;
  const Embedding embedding = embed(reference)->get().second;
  const auto text = encode(reference, text_job()).second;
  for (int round = 0; round < 3; ++round) {
    auto before = submit(session, detect_job(5));
    auto debugged = submit(session, debug);
    auto embedded = embed(session);
    auto encoded = encode(session, text_job());
    CHECK(encoded.second == text);
    const Found found = debugged.answer->get().second;
    CHECK(same(found, expected));
    CHECK(found.seg_tokens == expected.seg_tokens);
    CHECK(found.gate == expected.gate);
    CHECK(found.group_logits == expected.group_logits);
    CHECK(found.det_logits == expected.det_logits);
    const Embedding e = embedded->get().second;
    CHECK(e.features == embedding.features);
    CHECK(e.patches == embedding.patches);
    CHECK(before.answer->get().first.ok());
    DetectJob staged = detect_job(3);
    staged.stages = true;
    CHECK(!detect(session, staged).second.timing.stages.empty());
  }
}

TEST_CASE("a small batch is written down the second time, and launched in one call from then on") {
  const Found expected = expected_of_job(detect_job(1));
  LazyDevice lazy;
  {
    Session session(loaded(lazy), 8);
    int plain = 0;
    for (int call = 0; call < 5; ++call) {
      CAPTURE(call);
      lazy.reset_counts();
      CHECK(same(detect(session, detect_job(1)).second, expected));
      const LazyDevice::Counts counts = lazy.counts();
      if (call == 0) plain = counts.ops;
      CHECK(counts.captures == (call == 1 ? 1 : 0));
      CHECK(counts.graph_launches == (call == 0 ? 0 : 1));
      if (call > 0) CHECK(counts.ops == 1);  // the picture's preparation
    }
    CHECK(plain > 20);
    CHECK(lazy.live_graphs() == 1);
    // Another blur is another computation; so is one that returns what it had in between.
    DetectJob other = detect_job(1);
    other.blur_taps = 3;
    const Found blurred = expected_of_job(other);
    CHECK(!same(blurred, expected));
    for (int call = 0; call < 3; ++call) CHECK(same(detect(session, other).second, blurred));
    CHECK(same(detect(session, detect_job(1)).second, expected));
    CHECK(lazy.live_graphs() == 2);
    lazy.reset_counts();
    other.debug = true;
    CHECK(same(detect(session, other).second, blurred));
    CHECK(lazy.counts().graph_launches == 0);
    CHECK(session.graph_fault().empty());
  }
  CHECK(lazy.live_graphs() == 0);
}

TEST_CASE("however many blurs are asked for, few graphs are kept") {
  LazyDevice lazy;
  Session session(loaded(lazy), 8);
  for (int i = 0; i < 40; ++i) {
    DetectJob job = detect_job(1);
    job.blur_sigma = 0.5f + 0.1f * static_cast<float>(i);
    for (int call = 0; call < 2; ++call) CHECK(detect(session, job).first.ok());
  }
  CHECK(lazy.live_graphs() <= 24);
}

TEST_CASE("a fault while a graph is written down costs the graphs and nothing else, and is said") {
  const Found expected = expected_of_job(detect_job(1));
  for (int at : {0, 1, 2, 7, 20}) {
    CAPTURE(at);
    LazyDevice lazy;
    Session session(loaded(lazy), 8);
    CHECK(same(detect(session, detect_job(1)).second, expected));
    if (at == 0) {
      lazy.fail_end_of_capture();
    } else {
      lazy.fail_capture(at);
    }
    lazy.reset_counts();
    for (int call = 0; call < 3; ++call)
      CHECK(same(detect(session, detect_job(1)).second, expected));
    CHECK(lazy.counts().captures == 1);
    CHECK(lazy.counts().graph_launches == 0);
    CHECK(lazy.live_graphs() == 0);
    CHECK(session.graph_fault() ==
          (at == 0 ? "the capture was broken off" : "made to fail while captured"));
  }
}

TEST_CASE("an op that fails on a stream fails its batch; others under way and after it are right") {
  const std::vector<Found> expected = expected_of(8);
  for (int at : {1, 2, 9, 30, 61}) {
    CAPTURE(at);
    LazyDevice lazy;
    Session session(loaded(lazy), 64);
    lazy.fail_run(at);
    for (int round = 0; round < 2; ++round) {
      std::vector<Submitted> all;
      for (int i = 0; i < 8; ++i) all.push_back(submit(session, some_job(i)));
      int failed = 0;
      for (int i = 0; i < 8; ++i) {
        auto [status, found] = all[static_cast<size_t>(i)].answer->get();
        failed += !status.ok();
        if (status.ok()) CHECK(same(found, expected[static_cast<size_t>(i)]));
      }
      if (round == 1) CHECK(failed == 0);
    }
  }
}

TEST_CASE("a batch whose kernels find no memory fails, and later ones are smaller") {
  const Found expected = expected_of_job(detect_job(1));
  LazyDevice lazy;
  Session session(loaded(lazy), 128);
  CHECK(same(detect(session, detect_job(1)).second, expected));
  lazy.door.close();
  auto first = submit(session, detect_job(1));
  lazy.door.await_visitor();
  std::vector<Submitted> all;
  for (int i = 0; i < 48; ++i) all.push_back(submit(session, detect_job(1)));
  lazy.refuse_op(40);  // behind the preparation of 24 pictures
  lazy.door.open();
  CHECK(first.answer->get().first.ok());
  for (int i = 0; i < 48; ++i) {
    auto [status, found] = all[static_cast<size_t>(i)].answer->get();
    CHECK(status.code() == (i < 24 ? Code::kOutOfMemory : Code::kOk));
    if (i >= 24) CHECK(found.batch == 12);
    if (i >= 24) CHECK(same(found, expected));
  }
}

TEST_CASE("cancelling under way loses that result alone, and the exchange serves the next batch") {
  const std::vector<Found> expected = expected_of(12);
  LazyDevice lazy;
  Session session(loaded(lazy), 64);
  for (int round = 0; round < 20; ++round) {
    std::vector<Submitted> all;
    for (int i = 0; i < 12; ++i) {
      all.push_back(submit(session, some_job(i)));
      if (i % 3 == round % 3) session.cancel(all.back().id.value());
      if (i % 4 == 1) session.cancel(all[static_cast<size_t>(i / 2)].id.value());
    }
    for (int i = 0; i < 12; ++i) {
      auto [status, found] = all[static_cast<size_t>(i)].answer->get();
      CHECK((status.ok() || status.code() == Code::kAborted));
      if (status.ok()) CHECK(same(found, expected[static_cast<size_t>(i)]));
      CHECK(all[static_cast<size_t>(i)].answer->times == 1);
    }
  }
}

TEST_CASE("closing waits for what is under way on streams and gives everything back") {
  LazyDevice lazy;
  {
    const auto model = loaded(lazy);
    const size_t weights = lazy.live_bytes();
    for (bool stop_running : {false, true}) {
      Session session(model, 128);
      lazy.door.close();
      auto first = submit(session, detect_job(0));
      lazy.door.await_visitor();
      std::vector<Submitted> waiting;
      for (int i = 0; i < 30; ++i) waiting.push_back(submit(session, detect_job(i % 9)));
      std::promise<void> closed;
      session.close(stop_running, [&] { closed.set_value(); });
      lazy.door.open();
      CHECK(first.answer->get().first.code() == (stop_running ? Code::kAborted : Code::kOk));
      for (Submitted& s : waiting) CHECK(s.answer->get().first.code() == Code::kAborted);
      closed.get_future().wait();
      CHECK(session.workspace_bytes() == 0);
      CHECK(lazy.live_bytes() == weights);
    }
  }
  CHECK(lazy.live_bytes() == 0);
  CHECK(lazy.live_graphs() == 0);
}

TEST_CASE(
    "a session over the CUDA kernels, emulated, prepares pictures by the CPU's bits and finds its "
    "maps") {
  if (!kCanEmulateCuda) return;
  const std::vector<Found> expected = expected_of(7);
  struct Emulated {
    std::shared_ptr<Device> device() const { return made; }
    std::shared_ptr<Device> made = make_emulated_cuda_device(1).value();
  } emulated;
  REQUIRE(emulated.made->has_preprocess());
  Session session(loaded(emulated), 16);
  for (int i = 0; i < 7; ++i) {
    CAPTURE(i);
    auto [status, found] = detect(session, some_job(i));
    REQUIRE(status.ok());
    const Found& e = expected[static_cast<size_t>(i)];
    REQUIRE(found.pixels.size() == e.pixels.size());
    double worst = std::fabs(found.score - e.score);
    for (size_t k = 0; k < e.pixels.size(); ++k)
      worst = std::max(worst, std::fabs(double{found.pixels[k]} - e.pixels[k]));
    CHECK(worst < 1e-4);
  }
}
