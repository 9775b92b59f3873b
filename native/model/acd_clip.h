// ACD-CLIP as a whole: weights on a device, and the two computations that a session asks for. Reads
// like docs/architecture.md; immutable after load, so sessions share it.
#pragma once

#include <functional>
#include <memory>
#include <vector>

#include "model/config.h"
#include "model/image_adapter.h"
#include "model/transformer.h"
#include "model/weight_reader.h"

namespace acd {

using Cancelled = std::function<bool()>;

struct TextGroup {
  Linear down;  // A^T [r, W]
  Floats up;    // B [r, W] times alpha / sqrt(r)
  Floats mix;   // [W]
  NormWeights norm;
};

struct ImageRequest {
  const float* text = nullptr;  // [G, E, 2] host memory, or null: embedding only
  int64_t blur_taps = 1;
  float blur_sigma = 1;
};

// Of one image. The arrays are the workspace's, in host memory, until its next batch; null where
// they were not asked for.
struct ImageResult {
  const float* det_features = nullptr;  // [G, E]
  const float* map = nullptr;           // [S, S]; this and what follows only with a text
  float map_max = 0;
  double cls = 0;  // p(abnormal) of the detection logits
  float det_logits[2] = {0, 0};
  const float* gates = nullptr;         // [G, G, 2]
  const float* group_logits = nullptr;  // [G, 2, N], of a batch with vectors
  const float* seg_vectors = nullptr;   // [G, N, E], of a batch with vectors
};

class AcdClip {
 public:
  static Result<std::shared_ptr<const AcdClip>> load(std::shared_ptr<Device> device,
                                                     const ModelConfig& config,
                                                     WeightReader& reader);

  const ModelConfig& config() const { return config_; }
  const std::shared_ptr<Device>& device() const { return device_; }
  size_t weight_bytes() const { return weight_bytes_; }

  // Activations for up to `items` images, made once and reused.
  struct Workspace {
    std::shared_ptr<Device> device;  // that computes in it
    int64_t items = 0;
    Floats image;    // [items, 3, S, S], filled by the caller
    Floats patches;  // [items, N, 3 p p]; empty where tower.hidden has room for them
    TowerActivations tower;
    AdapterActivations adapter;
    Floats text;      // [items, 2G, E]
    Floats dots;      // [items, G, N, 2G]
    Floats seg_mean;  // [items, G, E]
    Floats outputs;   // what every batch takes to the host, in one piece: see OutputLayout
    Floats logits;    // [items, G, 2, N]; only when asked for, as the next
    Floats vectors;   // [items, G, N, E]
    // The same in host memory; `outputs` stays empty where the device's memory is the host's.
    struct Host {
      std::vector<float> text, outputs, logits, vectors;
    } host;
  };
  // device: the model's own, or a fork of it: then the work runs on a stream of its own.
  Result<Workspace> make_workspace(std::shared_ptr<Device> device, int64_t items) const;

  // ws.image holds `requests.size()` normalised images. vectors: also seg vectors and group logits.
  // Every image's result has the same bytes whatever else is in the batch.
  Status encode_images(Workspace& ws, const std::vector<ImageRequest>& requests, bool vectors,
                       const Cancelled& cancelled, std::vector<ImageResult>& out) const;

  // tokens [prompts, length] -> adapted end-of-text features [G, prompts, W], host memory.
  Status encode_text(const std::shared_ptr<Device>& device, const std::vector<int32_t>& tokens,
                     int64_t prompts, int64_t length, const Cancelled& cancelled,
                     std::vector<float>& out) const;

 private:
  AcdClip() = default;
  Status load_vision(WeightReader& reader);
  Status load_text(WeightReader& reader);
  Status load_token_table(WeightReader& reader);
  Status run_vision(Workspace& ws, int64_t items, bool vectors, const Cancelled& cancelled) const;
  Status upload_text(Workspace& ws, const std::vector<ImageRequest>& requests) const;
  Status fuse_maps(Workspace& ws, const std::vector<ImageRequest>& requests, bool vectors) const;
  Status download(Workspace& ws, const std::vector<ImageRequest>& requests, bool vectors,
                  std::vector<ImageResult>& out) const;

  ModelConfig config_;
  std::shared_ptr<Device> device_;
  NumberType tower_type_ = NumberType::kF32;
  size_t weight_bytes_ = 0;

  Linear patch_embed_;
  Floats class_embedding_, positions_;
  NormWeights ln_pre_;
  std::vector<Block> vision_blocks_;
  std::vector<ImageAdapterGroup> image_groups_;

  DeviceArray<uint8_t> token_table_;  // empty when it is computed from a seed
  TableType token_type_ = TableType::kF32;
  Floats text_positions_;
  std::vector<Block> text_blocks_;
  std::vector<TextGroup> text_groups_;
};

// Text features of a class from its prompts' features [G, prompts, W], of which the first `normal`
// are normal: L2-normalise each, mean, L2-normalise -> [G, W, 2].
std::vector<float> class_features(const std::vector<float>& features, int64_t groups,
                                  int64_t prompts, int64_t width, int64_t normal);

}  // namespace acd
