// Calls of a session and what tests ask of their answers.
#pragma once

#include <doctest/doctest.h>

#include <atomic>
#include <cstring>
#include <future>
#include <memory>
#include <utility>
#include <vector>

#include "infer/session.h"

namespace acd::test {

inline DetectJob detect_job(int seed, int64_t width = 19, int64_t height = 11) {
  DetectJob job;
  job.picture.width = width;
  job.picture.height = height;
  for (int64_t i = 0; i < width * height * 3; ++i)
    job.picture.pixels.push_back(static_cast<uint8_t>((i * (7 + seed) + i / 19) % 251));
  for (int64_t i = 0; i < 2 * 64 * 2; ++i)
    job.text.push_back(static_cast<float>((i * 31 + seed * 5) % 17 - 8) * 0.04f);
  return job;
}

inline TextJob text_job() { return {{1, 5, 9, 39, 1, 7, 39, 0}, 2, 4, 1}; }

// An answer that counts how often it came.
template <typename R>
struct Answer {
  std::atomic<int> times{0};
  std::promise<std::pair<Status, R>> promise;
  std::future<std::pair<Status, R>> future = promise.get_future();

  bool here() { return future.wait_for(std::chrono::seconds(0)) == std::future_status::ready; }
  std::pair<Status, R> get() {
    REQUIRE(future.wait_for(std::chrono::seconds(60)) == std::future_status::ready);
    return future.get();
  }
};

template <typename R>
Done<R> into(const std::shared_ptr<Answer<R>>& answer) {
  return [answer](Status status, R&& result) {
    if (++answer->times == 1) answer->promise.set_value({status, std::move(result)});
  };
}

// A detection with the map that it wrote.
struct Found : Detection {
  std::vector<float> pixels;
};
using Detected = std::shared_ptr<Answer<Found>>;

struct Submitted {
  Result<uint64_t> id;
  Detected answer;
};

inline Submitted submit(Session& session, DetectJob job) {
  auto answer = std::make_shared<Answer<Found>>();
  auto pixels = std::make_shared<std::vector<float>>(session.map_extents(job).area());
  job.map_out = pixels->data();
  auto id = session.submit(std::move(job),
                           [done = into(answer), pixels](Status status, Detection&& result) {
                             done(status, Found{std::move(result), std::move(*pixels)});
                           });
  return {std::move(id), answer};
}

inline std::pair<Status, Found> detect(Session& session, DetectJob job) {
  Submitted s = submit(session, std::move(job));
  REQUIRE(s.id.ok());
  return s.answer->get();
}

inline std::pair<Status, std::vector<float>> encode(Session& session, TextJob job) {
  auto answer = std::make_shared<Answer<std::vector<float>>>();
  REQUIRE(session.submit(std::move(job), into(answer)).ok());
  return answer->get();
}

inline bool same(const Found& a, const Found& b) {
  return a.score == b.score && a.pixels.size() == b.pixels.size() &&
         std::memcmp(a.pixels.data(), b.pixels.data(), a.pixels.size() * sizeof(float)) == 0;
}

inline void close_and_wait(Session& session, bool stop_running = false) {
  std::promise<void> closed;
  session.close(stop_running, [&] { closed.set_value(); });
  REQUIRE(closed.get_future().wait_for(std::chrono::seconds(60)) == std::future_status::ready);
}

}  // namespace acd::test
