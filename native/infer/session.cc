#include "infer/session.h"

#include <algorithm>
#include <cmath>
#include <optional>
#include <tuple>
#include <utility>

#include "core/thread_team.h"
#include "ops/resize/resize.h"

namespace acd {
namespace {

// Sizes of batches. On the CPU any up to as many as make a batch worth waking the team for, never
// so many that the first of them waits long for the last: a ViT-L at 518 runs alone, a toy in
// eights. On a GPU few sizes, for every one has products to be searched for, up to what fills the
// chip for 20 ms by calculation: multiples of three ViT-L images, whose rows make whole waves of
// tiles on the 132 multiprocessors of an H100.
std::vector<size_t> batches_for(const ModelConfig& c, bool gpu) {
  std::vector<size_t> sizes;
  if (gpu) {
    for (size_t size : {1, 2, 3, 6, 12, 24}) {
      sizes.push_back(size);
      if (size >= 3 && static_cast<double>(size) * c.flop_per_image() >= 10e12) break;
    }
  } else {
    const auto most = static_cast<size_t>(std::clamp(20e9 / c.flop_per_image(), 1.0, 8.0));
    for (size_t size = 1; size <= most; ++size) sizes.push_back(size);
  }
  return sizes;
}

double milliseconds(std::chrono::steady_clock::duration d) {
  return std::chrono::duration<double, std::milli>(d).count();
}

Status check_picture(const Picture& p, const ModelConfig& c) {
  if (p.width < 1 || p.height < 1 || p.width > kMaxResizeSide || p.height > kMaxResizeSide) {
    return Status(Code::kInvalidArg, "Expected a picture of at least 1 x 1 pixels");
  }
  const auto expected_tensor = static_cast<size_t>(3 * c.image_size * c.image_size);
  if (p.tensor.empty() ? p.rgb_bytes() != static_cast<size_t>(p.width * p.height * 3)
                       : p.tensor.size() != expected_tensor) {
    return Status(Code::kInvalidArg, "Expected width * height * 3 bytes of pixels or a [3, " +
                                         std::to_string(c.image_size) + ", " +
                                         std::to_string(c.image_size) + "] tensor");
  }
  return Status();
}

// Pixels whose memory is kept for the next pictures are those of usual size.
constexpr size_t kSpareBytes = size_t{4} << 20;
constexpr size_t kCpuLookahead = 8;

bool all_finite(const std::vector<float>& values) {
  return std::all_of(values.begin(), values.end(), [](float v) { return std::isfinite(v); });
}

std::vector<float> copied(const float* from, int64_t count) { return {from, from + count}; }

Picture* picture_of(DetectJob& j) { return &j.picture; }
Picture* picture_of(EmbedJob& j) { return &j.picture; }
Picture* picture_of(TextJob&) { return nullptr; }

}  // namespace

void Session::Entry::fail(const Status& status) {
  if (std::exchange(settled, true)) return;
  std::visit([&](auto& w) { w.done(status, {}); }, work);
}

Session::Session(std::shared_ptr<const AcdClip> model, size_t queue_limit)
    : config_(model->config()),
      weight_bytes_(model->weight_bytes()),
      queue_limit_(queue_limit),
      batches_(batches_for(config_, model->device()->has_streams())),
      flight_limit_(model->device()->has_streams() ? 2 : 1),
      lookahead_(model->device()->has_streams() ? 3 * batches_.back() : kCpuLookahead),
      model_(std::move(model)) {
  thread_ = std::thread([this] { main(); });
}

Session::~Session() {
  close(true, nullptr);
  if (thread_.joinable()) thread_.join();
}

Status Session::check(const DetectJob& job) const {
  ACD_RETURN_IF_ERROR(check_picture(job.picture, config_));
  if (static_cast<int64_t>(job.text.size()) != config_.groups * config_.embed_dim * 2) {
    return Status(Code::kInvalidArg, "Expected text features of " +
                                         std::to_string(config_.groups * config_.embed_dim * 2) +
                                         " numbers [" + std::to_string(config_.groups) + ", " +
                                         std::to_string(config_.embed_dim) + ", 2] but received " +
                                         std::to_string(job.text.size()));
  }
  return Status();
}

Extents Session::map_extents(const DetectJob& job) const {
  if (job.map == MapSize::kNone) return {};
  if (job.map == MapSize::kModel) return {config_.image_size, config_.image_size};
  return {job.picture.width, job.picture.height};
}

Pixels Session::spare_pixels() {
  std::lock_guard<std::mutex> lock(mutex_);
  if (spare_pixels_.empty()) return {};
  Pixels spare = std::move(spare_pixels_.back());
  spare_pixels_.pop_back();
  return spare;
}

void Session::keep_pixels(Pixels pixels) {
  if (pixels.capacity() == 0 || pixels.capacity() > kSpareBytes) return;
  std::lock_guard<std::mutex> lock(mutex_);
  if (spare_pixels_.size() < lookahead_) spare_pixels_.push_back(std::move(pixels));
}

Result<uint64_t> Session::submit(DetectJob job, Done<Detection> done) {
  ACD_RETURN_IF_ERROR(check(job));
  ACD_ASSERT(job.map == MapSize::kNone || job.map_out);
  return enqueue(std::make_shared<Entry>(DetectWork{std::move(job), std::move(done)}));
}

Result<uint64_t> Session::submit(EmbedJob job, Done<Embedding> done) {
  ACD_RETURN_IF_ERROR(check_picture(job.picture, config_));
  return enqueue(std::make_shared<Entry>(EmbedWork{std::move(job), std::move(done)}));
}

Result<uint64_t> Session::submit(TextJob job, Done<std::vector<float>> done) {
  return enqueue(std::make_shared<Entry>(TextWork{std::move(job), std::move(done)}));
}

Result<uint64_t> Session::enqueue(std::shared_ptr<Entry> entry) {
  {
    std::lock_guard<std::mutex> lock(mutex_);
    if (closing_) return Status(Code::kDisposed, "the model was disposed");
    if (queue_.size() >= queue_limit_) {
      return Status(Code::kQueueFull, "the queue holds its limit of " +
                                          std::to_string(queue_limit_) +
                                          " waiting calls; await some, or raise queueLimit");
    }
    entry->id = next_id_++;
    entry->arrived = Clock::now();
    queue_.push_back(entry);
  }
  wake_.notify_one();
  return entry->id;
}

void Session::cancel(uint64_t id) {
  std::shared_ptr<Entry> waiting;
  {
    std::lock_guard<std::mutex> lock(mutex_);
    const auto is_it = [id](const std::shared_ptr<Entry>& e) { return e->id == id; };
    const auto running = std::find_if(running_.begin(), running_.end(), is_it);
    if (running != running_.end()) {
      (*running)->cancelled = true;
      return;
    }
    const auto found = std::find_if(queue_.begin(), queue_.end(), is_it);
    if (found == queue_.end()) return;  // done already
    waiting = *found;
    queue_.erase(found);
  }
  waiting->fail(Status(Code::kAborted, "the call was cancelled"));
}

size_t Session::waiting() const {
  std::lock_guard<std::mutex> lock(mutex_);
  return queue_.size();
}

std::string Session::graph_fault() const {
  std::lock_guard<std::mutex> lock(mutex_);
  return graph_fault_;
}

void Session::close(bool stop_running, std::function<void()> closed) {
  {
    std::lock_guard<std::mutex> lock(mutex_);
    if (stop_running) stop_running_ = true;
    if (closing_) return;
    closing_ = true;
    closed_ = std::move(closed);
  }
  wake_.notify_one();
}

void Session::main() {
  step_behind();
  for (;;) {
    Batch batch = next_batch();
    if (!batch.empty()) {
      run(batch);
    } else if (!flights_.empty()) {
      land();
    } else {
      break;
    }
  }
  std::deque<std::shared_ptr<Entry>> rest;
  {
    std::lock_guard<std::mutex> lock(mutex_);
    rest.swap(queue_);
  }
  for (auto& entry : rest)
    entry->fail(Status(Code::kAborted, "the model was disposed before this call began"));
  release_memory();
  device_.reset();
  model_.reset();
  if (closed_) closed_();
}

void Session::release_memory() {
  workspace_ = AcdClip::Workspace();
  workspace_bytes_ = 0;
  map_ = ResizeMapScratch();
  results_ = std::vector<ImageResult>();
  std::lock_guard<std::mutex> lock(mutex_);
  spare_pixels_.clear();
}

// Neighbouring images go together, a text job goes alone. Empty when closing, or when nothing waits
// while a batch is under way; without one it blocks.
Session::Batch Session::next_batch() {
  std::unique_lock<std::mutex> lock(mutex_);
  wake_.wait(lock, [this] { return closing_ || !queue_.empty() || !flights_.empty(); });
  if (closing_ || queue_.empty()) return {};
  const auto is_text = [](const auto& e) { return std::holds_alternative<TextWork>(e->work); };
  size_t images = 0;
  while (images < queue_.size() && images < batches_.back() && !is_text(queue_[images])) ++images;
  size_t size = 1;
  for (size_t fitting : batches_) {
    if (fitting <= images) size = fitting;
  }
  const auto end = queue_.begin() + static_cast<std::ptrdiff_t>(size);
  Batch batch(std::make_move_iterator(queue_.begin()), std::make_move_iterator(end));
  queue_.erase(queue_.begin(), end);
  running_.insert(running_.end(), batch.begin(), batch.end());
  return batch;
}

// Before all that wait.
void Session::put_back(const Batch& batch) {
  forget(batch);
  std::lock_guard<std::mutex> lock(mutex_);
  queue_.insert(queue_.begin(), batch.begin(), batch.end());
}

// They are settled: there is nothing to cancel.
void Session::forget(const Batch& batch) {
  std::lock_guard<std::mutex> lock(mutex_);
  const auto is_of = [&](const std::shared_ptr<Entry>& e) {
    return std::find(batch.begin(), batch.end(), e) != batch.end();
  };
  running_.erase(std::remove_if(running_.begin(), running_.end(), is_of), running_.end());
}

bool Session::stop_requested(const Batch& batch) const {
  return stop_running_ ||
         std::all_of(batch.begin(), batch.end(), [](const auto& e) { return e->cancelled.load(); });
}

Status Session::open_device() {
  if (device_) return Status();
  auto device = model_->device()->fork();
  if (device.ok()) device_ = std::move(device.value());
  return device.status();
}

void Session::run(Batch& batch) {
  const bool is_text = std::holds_alternative<TextWork>(batch.front()->work);
  if (is_text) land_all();
  const Status status = guarded([&]() -> Status {
    ACD_RETURN_IF_ERROR(open_device());
    if (is_text) {
      run_text(*batch.front());
      return Status();
    }
    const Status room = make_room(static_cast<int64_t>(batch.size()));
    if (room.code() == Code::kOutOfMemory && device_->has_streams() && batch.size() > 1) {
      stay_below(batch.size());
      put_back(std::exchange(batch, {}));
      return Status();
    }
    ACD_RETURN_IF_ERROR(room);
    launch(batch);
    return Status();
  });
  // Both settle what they fail; only an exception leaves entries open.
  if (!status.ok()) {
    for (auto& entry : batch) entry->fail(status);
  }
  if (!status.ok() || is_text) forget(batch);
  while (flights_.size() >= flight_limit_) land();
}

void Session::run_text(Entry& entry) {
  auto& work = std::get<TextWork>(entry.work);
  std::vector<float> features;
  const Status status = guarded([&] {
    const TextJob& job = work.job;
    ACD_RETURN_IF_ERROR(model_->encode_text(
        device_, job.tokens, job.prompts, job.length,
        [&] { return stop_running_ || entry.cancelled; }, features));
    if (job.normal >= 0)
      features =
          class_features(features, config_.groups, job.prompts, config_.text_width, job.normal);
    if (!all_finite(features)) return Status(Code::kNonFinite, "the text features hold NaN or Inf");
    return Status();
  });
  entry.settled = true;
  work.done(status, std::move(features));
}

// Begins the computation of a batch. A batch that cannot be begun is settled at once.
void Session::launch(Batch& batch) {
  Flight flight;
  flight.batch = batch;
  flight.start = Clock::now();
  const Status status = guarded([&]() -> Status {
    bool stages = false;
    for (auto& entry : batch) {
      if (const auto* w = std::get_if<DetectWork>(&entry->work)) {
        flight.requests.push_back({w->job.text.data(), w->job.blur_taps, w->job.blur_sigma});
        flight.vectors |= w->job.debug;
        stages |= w->job.stages;
      } else {
        flight.requests.push_back({});
        flight.vectors |= std::get<EmbedWork>(entry->work).job.patches;
      }
    }
    if (!flights_.empty()) flight.exchange = 1 - flights_.front().exchange;
    ACD_RETURN_IF_ERROR(prepare(flight));
    flight.prepared = Clock::now();
    std::optional<StageClock> clock;
    if (stages) clock.emplace();
    ACD_RETURN_IF_ERROR(model_->compute(workspace_, workspace_.exchanges[flight.exchange],
                                        flight.requests, flight.vectors,
                                        [&] { return stop_requested(batch); }));
    if (clock) flight.stages = clock->stages();
    flights_.push_back(std::move(flight));
    return Status();
  });
  workspace_bytes_ = workspace_.bytes();
  if (workspace_.graphs && !workspace_.graphs->fault().empty()) {
    std::lock_guard<std::mutex> lock(mutex_);
    graph_fault_ = workspace_.graphs->fault();
  }
  if (status.ok()) return;
  // What was asked of the device before it failed may still read the exchange.
  if (device_ && device_->has_streams()) std::ignore = device_->synchronize();
  // Kernels want memory too. Its pictures were handed over: they are asked for again by their
  // owners.
  if (status.code() == Code::kOutOfMemory && device_->has_streams()) stay_below(batch.size());
  for (auto& entry : batch) entry->fail(status);
  forget(batch);
}

// Batches of `size` do not fit into the device's memory.
void Session::stay_below(size_t size) {
  while (batches_.size() > 1 && batches_.back() >= size) batches_.pop_back();
}

void Session::land_all() {
  while (!flights_.empty()) land();
}

// Waits for the oldest batch under way and settles it.
void Session::land() {
  Flight flight = std::move(flights_.front());
  flights_.pop_front();
  Exchange& exchange = workspace_.exchanges[flight.exchange];
  const Status status =
      guarded([&] { return exchange.fetch(flight.requests, flight.vectors, results_); });
  if (!status.ok() && device_->has_streams()) std::ignore = device_->synchronize();
  Timing timing;
  timing.preprocess_ms = milliseconds(flight.prepared - flight.start);
  timing.compute_ms = milliseconds(Clock::now() - flight.prepared);
  timing.stages = std::move(flight.stages);
  for (size_t i = 0; i < flight.batch.size(); ++i) {
    Entry& entry = *flight.batch[i];
    timing.queue_ms = milliseconds(flight.start - entry.arrived);
    Status own = status;
    if (own.ok() && (entry.cancelled || stop_running_))
      own = Status(Code::kAborted, "the call was cancelled");
    if (own.ok())
      own = guarded([&] { return finish(entry, results_[i], timing, flight.batch.size()); });
    if (!own.ok()) entry.fail(own);
  }
  exchange.trim();
  forget(flight.batch);
}

// A workspace for so many images; a smaller one goes first, when nothing is under way in it.
Status Session::make_room(int64_t items) {
  if (workspace_.items >= items) return Status();
  land_all();
  workspace_ = AcdClip::Workspace();
  auto made = model_->make_workspace(device_, items, static_cast<int>(flight_limit_));
  if (!made.ok()) return made.status();
  workspace_ = std::move(made.value());
  if (!graph_fault().empty()) workspace_.graphs.reset();
  return Status();
}

// Pictures of a batch into its exchange.
Status Session::prepare(Flight& flight) {
  Exchange& exchange = workspace_.exchanges[flight.exchange];
  if (!flight.vectors) exchange.drop_vectors();
  for (size_t item = 0; item < flight.batch.size(); ++item) {
    Picture& picture =
        *std::visit([](auto& w) { return picture_of(w.job); }, flight.batch[item]->work);
    const auto at = static_cast<int64_t>(item);
    if (!picture.tensor.empty()) {
      ACD_RETURN_IF_ERROR(exchange.put_tensor(at, picture.tensor.data()));
      continue;
    }
    ACD_RETURN_IF_ERROR(exchange.put_picture(at, picture.rgb(), picture.width, picture.height));
    keep_pixels(std::move(picture.pixels));
  }
  return Status();
}

Status Session::finish(Entry& entry, const ImageResult& result, Timing timing, size_t batch) {
  const int64_t g = config_.groups, e = config_.embed_dim, n = config_.patches();
  if (auto* embed = std::get_if<EmbedWork>(&entry.work)) {
    Embedding out{copied(result.det_features, g * e), embed->job.patches
                                                          ? copied(result.seg_vectors, g * n * e)
                                                          : std::vector<float>()};
    if (!all_finite(out.features) || !all_finite(out.patches)) {
      return Status(Code::kNonFinite, "the image features hold NaN or Inf");
    }
    entry.settled = true;
    embed->done(Status(), std::move(out));
    return Status();
  }
  const auto start = Clock::now();
  auto& work = std::get<DetectWork>(entry.work);
  const DetectJob& job = work.job;
  Detection out;
  out.cls = result.cls;
  out.map_max = result.map_max;
  out.score = (1 - job.map_weight) * result.cls + job.map_weight * double{result.map_max};
  if (!std::isfinite(out.score)) {
    return Status(Code::kNonFinite,
                  "the computation produced NaN or Inf; no score can be given for this picture");
  }
  const auto size = static_cast<int>(config_.image_size);
  if (job.want_regions) {
    out.has_regions = true;
    ACD_RETURN_IF_ERROR(find_regions(result.map, size, size, job.region_threshold,
                                     job.region_min_area, &out.regions));
  }
  out.map = map_extents(job);
  if (job.map == MapSize::kModel) {
    copy_for_another_thread(job.map_out, result.map,
                            static_cast<size_t>(size) * size * sizeof(float));
  } else if (job.map == MapSize::kImage) {
    ACD_RETURN_IF_ERROR(resize_map_f32(result.map, size, size, job.map_out,
                                       static_cast<int>(out.map.width),
                                       static_cast<int>(out.map.height), map_));
  }
  if (job.debug) {
    out.debug = true;
    out.seg_tokens = copied(result.seg_vectors, g * n * e);
    out.det_features = copied(result.det_features, g * e);
    out.gate = copied(result.gates, g * g * 2);
    out.group_logits = copied(result.group_logits, g * 2 * n);
    out.det_logits = copied(result.det_logits, 2);
  }
  out.batch = static_cast<int64_t>(batch);
  timing.postprocess_ms = milliseconds(Clock::now() - start);
  if (!job.stages) timing.stages.clear();
  out.timing = std::move(timing);
  entry.settled = true;
  work.done(Status(), std::move(out));
  return Status();
}

}  // namespace acd
