#include "model/compute_graphs.h"

#include <algorithm>
#include <tuple>

namespace acd {
namespace {

// Sizes of batches times exchanges, and a few blurs.
constexpr size_t kMost = 24;

}  // namespace

ComputeGraphs::~ComputeGraphs() {
  for (const Entry& entry : entries_) {
    if (entry.graph) device_->release_graph(entry.graph);
  }
}

Status ComputeGraphs::run(const Key& key, const std::function<Status()>& forward) {
  if (!fault_.empty()) return forward();
  const auto it = std::find_if(entries_.begin(), entries_.end(),
                               [&](const Entry& entry) { return entry.key == key; });
  if (it == entries_.end()) {
    ACD_RETURN_IF_ERROR(forward());
    if (entries_.size() == kMost) {
      // It may still be at work.
      ACD_RETURN_IF_ERROR(device_->synchronize());
      if (entries_.front().graph) device_->release_graph(entries_.front().graph);
      entries_.erase(entries_.begin());
    }
    entries_.push_back({key});
    return Status();
  }
  std::rotate(it, it + 1, entries_.end());
  Entry& entry = entries_.back();
  if (!entry.graph) {
    const Status captured = capture(forward, &entry.graph);
    if (!captured.ok()) {
      fault_ = captured.message();
      return forward();
    }
  }
  return device_->launch_graph(entry.graph);
}

Status ComputeGraphs::capture(const std::function<Status()>& forward, void** graph) {
  ACD_RETURN_IF_ERROR(device_->begin_graph());
  // Ended whatever happens: a stream that is left capturing runs nothing any more.
  const Status asked = guarded(forward);
  const Status ended = device_->end_graph(graph);
  if (asked.ok() && ended.ok()) return Status();
  if (*graph) device_->release_graph(*graph);
  *graph = nullptr;
  return asked.ok() ? ended : asked;
}

}  // namespace acd
