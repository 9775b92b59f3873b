// What one batch brings to the device and takes from it: pictures and texts in, results out.
//
// On a device with streams an exchange has a stream of its own, which copies while another batch is
// computed: the computation waits for the exchange's stream before it reads, and that stream for
// the computation before it downloads. Memory of an exchange is touched by the host's calls in this
// order: put_*, the computation, fetch; and given back only when the computation is known to be
// over.
#pragma once

#include <memory>
#include <vector>

#include "backend/device.h"
#include "model/config.h"
#include "ops/preprocess/preprocess.h"

namespace acd {

using Floats = DeviceArray<float>;

struct ImageRequest {
  const float* text = nullptr;  // [G, E, 2] host memory, or null: embedding only
  int64_t blur_taps = 1;
  float blur_sigma = 1;
};

// Of one image. The arrays are the exchange's, in host memory, until its next batch; null where
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

// Where the parts of Exchange::outputs begin for a batch of `items`, in floats. Maps come last: a
// batch of embeddings leaves them, and all behind det_mean, on the device.
struct OutputLayout {
  OutputLayout(const ModelConfig& c, int64_t items)
      : gates(items * c.groups * c.embed_dim),
        max(gates + items * c.groups * c.groups * 2),
        map((max + items + 15) / 16 * 16),
        end(map + items * c.image_size * c.image_size) {}
  int64_t det_mean = 0;  // [items, G, E]
  int64_t gates;         // [items, G, G, 2]
  int64_t max;           // [items]
  int64_t map;           // [items, S, S], aligned as memory is
  int64_t end;
};

class Exchange {
 public:
  // For up to `items` images. io: the stream that copies; where there are none, the device itself.
  static Result<Exchange> make(std::shared_ptr<Device> io, const ModelConfig& config,
                               int64_t items);

  const std::shared_ptr<Device>& io() const { return io_; }
  int64_t items() const { return items_; }

  // A normalised [3, S, S] picture in host memory.
  Status put_tensor(int64_t item, const float* tensor);
  // RGB8 [height, width, 3], resized and normalised: on the device where it can, else here.
  Status put_picture(int64_t item, const uint8_t* rgb, int64_t width, int64_t height);
  // Texts of the batch; zeros where a request has none.
  Status put_texts(const std::vector<ImageRequest>& requests);
  // Room for logits and vectors, which few batches ask for; dropped by drop_vectors.
  Status make_vectors();
  void drop_vectors();
  // Gives back what only unusually large pictures take.
  void trim();

  // Returns when the results are in host memory: the exchange's own, or the device's where that is
  // the host's.
  Status fetch(const std::vector<ImageRequest>& requests, bool has_vectors,
               std::vector<ImageResult>& out);

  // What the computation reads: rows of the patch product where the device prepares pictures,
  // images elsewhere; the other one is empty.
  Floats images;  // [items, 3, S, S]
  Floats rows;    // [items, N, 3 p p]
  Floats text;    // [items, 2G, E]
  // What it writes.
  Floats outputs;  // OutputLayout
  Floats logits;   // [items, G, 2, N]
  Floats vectors;  // [items, G, N, E]

 private:
  Exchange() = default;
  Status make_tables(int64_t width, int64_t height);
  Status bring(const Floats& from, int64_t count, std::vector<float>& host, const float** to);

  std::shared_ptr<Device> io_;
  const ModelConfig* config_ = nullptr;
  int64_t items_ = 0;
  Floats tensor_;                // [3, S, S] on its way into rows
  DeviceArray<uint8_t> pixels_;  // of the picture that is being prepared
  DeviceArray<int32_t> tables_;  // of the resize from width_ x height_
  DeviceAxis across_ = {}, down_ = {};
  int64_t width_ = 0, height_ = 0;
  PreprocessScratch scratch_;
  std::vector<float> normalised_;
  struct {
    std::vector<float> text, outputs, logits, vectors;
  } host_;
};

}  // namespace acd
