// The smallest ACD-CLIP that has every part, with weights in a temporary file, and a CPU device
// whose calls can be made to fail or to wait.
#pragma once

#include <atomic>
#include <memory>
#include <string>
#include <vector>

#include "backend/device.h"
#include "door.h"
#include "model/acd_clip.h"

namespace acd::test {

class TinyModel {
 public:
  explicit TinyModel(int64_t vision_width = 64);
  ~TinyModel();
  TinyModel(const TinyModel&) = delete;
  TinyModel& operator=(const TinyModel&) = delete;

  const ModelConfig& config() const { return config_; }
  const std::string& path() const { return path_; }
  std::vector<TensorSource> tensors() const { return tensors_; }
  Result<std::shared_ptr<const AcdClip>> load(std::shared_ptr<Device> device,
                                              Precision precision = Precision::kFp32) const;

 private:
  void add(const std::string& name, std::vector<int64_t> shape, float offset = 0);
  void add_tower(const std::string& prefix, int64_t width, int64_t layers);

  ModelConfig config_;
  std::string path_;
  std::vector<TensorSource> tensors_;
  std::vector<float> data_;
};

// The CPU behind a table of its own.
class FaultyDevice {
 public:
  explicit FaultyDevice(int threads);
  std::shared_ptr<Device> device() const { return device_; }

  // The n-th fallible call from now on (1 = the next) runs out of memory; 0: none does.
  void fail_at(int64_t n) { left_ = n; }
  int64_t calls() const { return calls_; }
  // Calls of alloc among them.
  int64_t allocations() const { return allocations_; }
  Door door;  // before uploads

 private:
  struct Entries;
  int enter();
  int done(const Status& status);

  std::shared_ptr<Device> inner_;
  std::shared_ptr<Device> device_;
  std::atomic<int64_t> left_{0};
  std::atomic<int64_t> calls_{0};
  std::atomic<int64_t> allocations_{0};
};

}  // namespace acd::test
