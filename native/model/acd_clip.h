// ACD-CLIP as a whole: weights on a device, and the two computations that a session asks for. Reads
// like docs/architecture.md; immutable after load, so sessions share it.
#pragma once

#include <functional>
#include <memory>
#include <vector>

#include "model/compute_graphs.h"
#include "model/config.h"
#include "model/exchange.h"
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

class AcdClip {
 public:
  static Result<std::shared_ptr<const AcdClip>> load(std::shared_ptr<Device> device,
                                                     const ModelConfig& config,
                                                     WeightReader& reader);

  const ModelConfig& config() const { return config_; }
  const std::shared_ptr<Device>& device() const { return device_; }
  size_t weight_bytes() const { return weight_bytes_; }

  // Activations for up to `items` images, made once and reused, and one or more exchanges: while
  // one batch is computed, another one's exchange may be filled and a third one's fetched.
  struct Workspace {
    std::shared_ptr<Device> device;  // that computes in it
    int64_t items = 0;
    Floats patches;  // [items, N, 3 p p]; empty where the exchanges have rows, or tower.hidden room
    TowerActivations tower;
    AdapterActivations adapter;
    Floats dots;      // [items, G, N, 2G]
    Floats seg_mean;  // [items, G, E]
    std::vector<Exchange> exchanges;
    std::unique_ptr<ComputeGraphs> graphs;  // of small batches; null where the device has none
    // Device memory of all that was made for it.
    size_t bytes() const;
  };
  // device: the model's own, or a fork of it: then the work runs on a stream of its own. On a
  // device without streams one exchange is all that is ever used.
  Result<Workspace> make_workspace(std::shared_ptr<Device> device, int64_t items,
                                   int exchanges = 1) const;

  // Computes what was put into the exchange of `ws` for `requests.size()` images; Exchange::fetch
  // waits for it. vectors: also seg vectors and group logits. On the CPU every image's result has
  // the same bytes whatever else is in the batch. After a failure the device may still be at work
  // on the exchange: synchronize before it is used again. Small batches are graphs from their
  // second time on; `cancelled` is then asked once, before the launch.
  Status compute(Workspace& ws, Exchange& exchange, const std::vector<ImageRequest>& requests,
                 bool vectors, const Cancelled& cancelled) const;

  // tokens [prompts, length] -> adapted end-of-text features [G, prompts, W], host memory.
  Status encode_text(const std::shared_ptr<Device>& device, const std::vector<int32_t>& tokens,
                     int64_t prompts, int64_t length, const Cancelled& cancelled,
                     std::vector<float>& out) const;

 private:
  AcdClip() = default;
  Status load_vision(WeightReader& reader);
  Status load_text(WeightReader& reader);
  Status load_token_table(WeightReader& reader);
  Status forward(Workspace& ws, Exchange& exchange, const std::vector<ImageRequest>& requests,
                 bool vectors, const Cancelled& cancelled) const;
  Status run_vision(Workspace& ws, Exchange& exchange, int64_t items, bool vectors,
                    const Cancelled& cancelled) const;
  Status fuse_maps(Workspace& ws, Exchange& exchange, const std::vector<ImageRequest>& requests,
                   bool vectors) const;

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
