// A model of any size with weights from a seed, in a file of its own: what a machine without
// checkpoints is checked and timed with.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "model/acd_clip.h"

namespace acd::test {

ModelConfig small_config();  // three layers of 128, image of 56
ModelConfig vit_l_config();  // ViT-L/14 at 518, four groups

class RandomModel {
 public:
  explicit RandomModel(const ModelConfig& config);
  ~RandomModel();
  RandomModel(const RandomModel&) = delete;
  RandomModel& operator=(const RandomModel&) = delete;
  Result<std::shared_ptr<const AcdClip>> load(const std::shared_ptr<Device>& device,
                                              Precision precision) const;

 private:
  void add(const std::string& name, std::vector<int64_t> shape, float offset, int64_t fan_in);
  void add_tower(const std::string& prefix, int64_t width, int64_t layers);
  void add_adapters();

  ModelConfig config_;
  std::vector<TensorSource> tensors_;
  std::string path_;
  std::FILE* file_ = nullptr;
  int64_t offset_ = 0;
  uint32_t state_ = 1;
};

// Uniform in [-scale, scale].
std::vector<float> random_floats(size_t n, uint32_t seed, float scale);

}  // namespace acd::test
