// What a session is asked for and what it gives back: plain structs that own everything they need,
// but for the memory of the map and of lent pixels, whose owner is the one who asks.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "core/copy.h"
#include "core/stage_clock.h"
#include "core/status.h"
#include "ops/regions/regions.h"

namespace acd {

enum class MapSize { kNone, kModel, kImage };

struct Extents {
  int64_t width = 0;
  int64_t height = 0;
  size_t area() const { return static_cast<size_t>(width * height); }
};

using Pixels = UnsetVector<uint8_t>;

// One picture: RGB8 pixels, its own or lent, or an already normalised [3, S, S] tensor.
struct Picture {
  Pixels pixels;
  // Memory that the submitter owns and nobody writes until `done` is called.
  const uint8_t* lent = nullptr;
  size_t lent_bytes = 0;
  std::vector<float> tensor;
  int64_t width = 0;  // of the original picture in both cases
  int64_t height = 0;

  const uint8_t* rgb() const { return lent ? lent : pixels.data(); }
  size_t rgb_bytes() const { return lent ? lent_bytes : pixels.size(); }
};

struct Timing {
  double queue_ms = 0;
  double preprocess_ms = 0;
  double compute_ms = 0;
  double postprocess_ms = 0;
  std::vector<Stage> stages;  // of compute_ms, for a job that asked
};

struct DetectJob {
  Picture picture;
  std::vector<float> text;  // [G, E, 2]
  int64_t blur_taps = 7;
  float blur_sigma = 1;
  double map_weight = 0.1;
  MapSize map = MapSize::kModel;
  // Where the map goes unless it is kNone: memory of Session::map_extents that the submitter owns
  // and leaves alone until `done` is called. Written once, on the scheduler thread.
  float* map_out = nullptr;
  bool want_regions = false;
  float region_threshold = 0;
  int64_t region_min_area = 1;
  bool debug = false;
  bool stages = false;  // time every operation of the computation
};

struct Detection {
  double score = 0;
  double cls = 0;
  double map_max = 0;
  Extents map;  // of what DetectJob::map_out now holds
  bool has_regions = false;
  std::vector<Region> regions;
  Timing timing;
  int64_t batch = 1;
  bool debug = false;
  std::vector<float> seg_tokens, det_features, gate, group_logits, det_logits;
};

struct EmbedJob {
  Picture picture;
  bool patches = false;
};

struct Embedding {
  std::vector<float> features;  // [G, E]
  std::vector<float> patches;   // [G, N, E] when asked for
};

struct TextJob {
  std::vector<int32_t> tokens;  // [prompts, length]
  int64_t prompts = 0;
  int64_t length = 0;
  int64_t normal = -1;  // >= 0: class features of the first `normal` against the rest
};

template <typename T>
using Done = std::function<void(Status, T&&)>;

}  // namespace acd
