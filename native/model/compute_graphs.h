// Computations of a workspace that a device wrote down once, to be run again with one call: on a
// GPU a small batch is over before the host has asked for its hundreds of kernels one by one.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "backend/device.h"

namespace acd {

class ComputeGraphs {
 public:
  // What tells two computations of one workspace apart.
  struct Key {
    const void* exchange;  // whose memory it reads and writes
    int64_t items;
    int64_t taps;  // of the blur; 0: no maps
    float sigma;
    bool operator==(const Key& o) const {
      return exchange == o.exchange && items == o.items && taps == o.taps && sigma == o.sigma;
    }
  };

  // device: that computes; it must have graphs.
  explicit ComputeGraphs(std::shared_ptr<Device> device) : device_(std::move(device)) {}
  ~ComputeGraphs();
  ComputeGraphs(const ComputeGraphs&) = delete;
  ComputeGraphs& operator=(const ComputeGraphs&) = delete;

  // Asks the device for `forward`: the first time for a key by calling it, the second by writing
  // down what it asks for, later without calling it. Where writing down fails, forward is called
  // now and for ever, and fault() says why.
  Status run(const Key& key, const std::function<Status()>& forward);

  const std::string& fault() const { return fault_; }

 private:
  struct Entry {
    Key key;
    void* graph = nullptr;
  };
  Status capture(const std::function<Status()>& forward, void** graph);

  std::shared_ptr<Device> device_;
  std::vector<Entry> entries_;  // the one used last at the end
  std::string fault_;
};

}  // namespace acd
