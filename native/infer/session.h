// One loaded model at work: a bounded queue and one scheduler thread that forms batches.
//
//   - submit copies nothing and blocks on nothing: it takes the job over or refuses it.
//   - A map is written into the submitter's memory and lent pixels are read there; both must last
//     until `done`.
//   - Every accepted job calls its `done` exactly once, from the scheduler thread or from cancel()
//     or close(); `done` must not call back into the session.
//   - A waiting job is cancelled at once, a running one between two layers. In a batch the others
//     go on.
//   - close() refuses new jobs, rejects waiting ones, lets the running one finish (or stops it
//     between layers when told so) and gives the memory back.
//   - A batch whose workspace does not fit into the device's memory goes back into the queue, and
//     from then on batches are smaller.
//   - On a device with streams two batches are under way: while one is computed, the next one's
//     pictures go up and the last one's results come down. What is under way there was asked for
//     already, so a call is cancelled while it is being asked for, and later loses its result
//     alone.
#pragma once

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <deque>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <variant>

#include "infer/jobs.h"
#include "model/acd_clip.h"
#include "ops/resize/resize.h"

namespace acd {

class Session {
 public:
  Session(std::shared_ptr<const AcdClip> model, size_t queue_limit);
  ~Session();
  Session(const Session&) = delete;
  Session& operator=(const Session&) = delete;

  const ModelConfig& config() const { return config_; }

  // What submit() will refuse of a job however empty the queue is, map_out aside.
  Status check(const DetectJob& job) const;
  // Size of the map that a checked job asks for.
  Extents map_extents(const DetectJob& job) const;
  // For a picture's pixels, whatever it holds: the memory of an earlier one where it can be had, as
  // memory fresh from the system costs a page fault every 4 KB, several times what copying costs.
  Pixels spare_pixels();

  Result<uint64_t> submit(DetectJob job, Done<Detection> done);
  Result<uint64_t> submit(EmbedJob job, Done<Embedding> done);
  Result<uint64_t> submit(TextJob job, Done<std::vector<float>> done);

  void cancel(uint64_t id);
  size_t waiting() const;
  // `closed` is called on the scheduler thread when everything is freed. Later calls do nothing.
  void close(bool stop_running, std::function<void()> closed);

  // Pictures worth having under way: those that are computed, the next ones, and some on their way.
  size_t lookahead() const { return lookahead_; }
  // Why small batches are no graphs any more; empty while nothing went wrong.
  std::string graph_fault() const;
  size_t weight_bytes() const { return weight_bytes_; }
  size_t workspace_bytes() const { return workspace_bytes_.load(); }

 private:
  using Clock = std::chrono::steady_clock;
  template <typename J, typename R>
  struct Work {
    J job;
    Done<R> done;
  };
  using DetectWork = Work<DetectJob, Detection>;
  using EmbedWork = Work<EmbedJob, Embedding>;
  using TextWork = Work<TextJob, std::vector<float>>;
  struct Entry {
    uint64_t id = 0;
    Clock::time_point arrived;
    std::atomic<bool> cancelled{false};
    bool settled = false;  // `done` was called; an exception after that must not call it again
    std::variant<DetectWork, EmbedWork, TextWork> work;
    template <typename W>
    explicit Entry(W&& w) : work(std::forward<W>(w)) {}
    void fail(const Status& status);
  };
  using Batch = std::vector<std::shared_ptr<Entry>>;
  // A batch of pictures that was given to the device and not settled yet.
  struct Flight {
    Batch batch;
    size_t exchange = 0;
    std::vector<ImageRequest> requests;
    bool vectors = false;
    Clock::time_point start, prepared;
    std::vector<Stage> stages;
  };

  Result<uint64_t> enqueue(std::shared_ptr<Entry> entry);
  void main();
  Batch next_batch();
  Status open_device();
  void run(Batch& batch);
  void run_text(Entry& entry);
  void launch(Batch& batch);
  void land();
  void land_all();
  void forget(const Batch& batch);
  Status make_room(int64_t items);
  void put_back(const Batch& batch);
  void stay_below(size_t size);
  Status prepare(Flight& flight);
  void release_memory();
  void keep_pixels(Pixels pixels);
  Status finish(Entry& entry, const ImageResult& result, Timing timing, size_t batch);
  bool stop_requested(const Batch& batch) const;

  const ModelConfig config_;
  const size_t weight_bytes_;
  const size_t queue_limit_;
  std::vector<size_t> batches_;  // sizes, ascending; the scheduler thread's own
  const size_t flight_limit_;
  const size_t lookahead_;
  std::shared_ptr<const AcdClip> model_;
  std::shared_ptr<Device> device_;  // the model's, with a stream of this session's
  // Made by the first batch and used again by all that follow; the scheduler thread's own.
  AcdClip::Workspace workspace_;
  std::deque<Flight> flights_;
  ResizeMapScratch map_;
  std::vector<ImageResult> results_;
  std::atomic<size_t> workspace_bytes_{0};

  mutable std::mutex mutex_;
  std::condition_variable wake_;
  std::deque<std::shared_ptr<Entry>> queue_;
  std::string graph_fault_;
  Batch running_;  // of all flights, and what is being prepared
  bool closing_ = false;
  std::atomic<bool> stop_running_{false};
  std::function<void()> closed_;
  uint64_t next_id_ = 1;
  std::vector<Pixels> spare_pixels_;
  std::thread thread_;
};

}  // namespace acd
