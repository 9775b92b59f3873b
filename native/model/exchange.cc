#include "model/exchange.h"

#include <algorithm>
#include <cmath>

namespace acd {
namespace {

// More memory for preparing pictures than this is given back: what one huge picture took.
constexpr size_t kScratchBytes = size_t{16} << 20;
constexpr size_t kPixelBytes = size_t{64} << 20;

template <typename T>
Status keep(Result<DeviceArray<T>> made, DeviceArray<T>& to) {
  if (made.ok()) to = std::move(made.value());
  return made.status();
}

// With room for a little more: pictures of nearly one size must not each take new memory.
template <typename T>
Status grow(const std::shared_ptr<Device>& device, size_t count, DeviceArray<T>& to) {
  if (to.size() >= count) return Status();
  to = DeviceArray<T>();
  return keep(DeviceArray<T>::make(device, count + count / 8), to);
}

bool has_text(const ImageRequest& request) { return request.text != nullptr; }

}  // namespace

Result<Exchange> Exchange::make(std::shared_ptr<Device> io, const ModelConfig& config,
                                int64_t items) {
  const ModelConfig& c = config;
  const int64_t s = c.image_size;
  Exchange e;
  e.config_ = &config;
  e.items_ = items;
  const auto make = [&](int64_t count, Floats& to) {
    return keep(Floats::make(io, static_cast<size_t>(count)), to);
  };
  ACD_RETURN_IF_ERROR(make(items * 3 * s * s, io->has_preprocess() ? e.rows : e.images));
  ACD_RETURN_IF_ERROR(make(items * 2 * c.groups * c.embed_dim, e.text));
  ACD_RETURN_IF_ERROR(make(OutputLayout(c, items).end, e.outputs));
  e.io_ = std::move(io);
  return e;
}

Status Exchange::put_tensor(int64_t item, const float* tensor) {
  const int64_t s = config_->image_size, floats = 3 * s * s;
  const size_t bytes = static_cast<size_t>(floats) * sizeof(float);
  if (rows.size() == 0) return io_->upload(images.data() + item * floats, tensor, bytes);
  ACD_RETURN_IF_ERROR(grow(io_, static_cast<size_t>(floats), tensor_));
  ACD_RETURN_IF_ERROR(io_->upload(tensor_.data(), tensor, bytes));
  return io_->patchify({tensor_.data(), rows.data() + item * floats, 1, s, config_->patch_size});
}

Status Exchange::put_picture(int64_t item, const uint8_t* rgb, int64_t width, int64_t height) {
  const int64_t s = config_->image_size, floats = 3 * s * s;
  if (rows.size() == 0) {
    normalised_.resize(static_cast<size_t>(floats));
    ACD_RETURN_IF_ERROR(preprocess_rgb8(rgb, static_cast<int>(width), static_cast<int>(height),
                                        static_cast<int>(s), normalised_.data(), scratch_));
    if (scratch_.bytes() > kScratchBytes) scratch_ = PreprocessScratch();
    return put_tensor(item, normalised_.data());
  }
  const auto bytes = static_cast<size_t>(width * height * 3);
  ACD_RETURN_IF_ERROR(grow(io_, bytes, pixels_));
  ACD_RETURN_IF_ERROR(make_tables(width, height));
  ACD_RETURN_IF_ERROR(io_->upload(pixels_.data(), rgb, bytes));
  return io_->preprocess({pixels_.data(), width, height, across_, down_, s, config_->patch_size,
                          rows.data() + item * floats});
}

// Pictures of a stream have one size: its tables stay on the device.
Status Exchange::make_tables(int64_t width, int64_t height) {
  if (width == width_ && height == height_) return Status();
  width_ = height_ = 0;
  const int64_t s = config_->image_size;
  std::vector<int32_t> words;
  DeviceAxis* axes[] = {&across_, &down_};
  const int64_t lengths[] = {width, height};
  size_t starts[2] = {0, 0};
  for (int i = 0; i < 2; ++i) {
    *axes[i] = {};
    if (lengths[i] == s) continue;
    const BicubicAxis axis = bicubic_axis(static_cast<int>(lengths[i]), static_cast<int>(s));
    starts[i] = words.size();
    for (const auto* part : {&axis.first, &axis.count, &axis.weights})
      words.insert(words.end(), part->begin(), part->end());
    axes[i]->taps = axis.taps;
  }
  if (!words.empty()) {
    ACD_RETURN_IF_ERROR(grow(io_, words.size(), tables_));
    ACD_RETURN_IF_ERROR(io_->upload(tables_.data(), words.data(), words.size() * sizeof(int32_t)));
  }
  for (int i = 0; i < 2; ++i) {
    if (axes[i]->taps == 0) continue;
    axes[i]->first = tables_.data() + starts[i];
    axes[i]->count = axes[i]->first + s;
    axes[i]->weights = axes[i]->count + s;
  }
  width_ = width;
  height_ = height;
  return Status();
}

void Exchange::trim() {
  if (pixels_.bytes() > kPixelBytes) pixels_ = DeviceArray<uint8_t>();
  if (tables_.bytes() > kPixelBytes) {
    tables_ = DeviceArray<int32_t>();
    width_ = height_ = 0;
  }
}

// The texts' columns one behind the other, [2G, E].
Status Exchange::put_texts(const std::vector<ImageRequest>& requests) {
  const int64_t g = config_->groups, e = config_->embed_dim;
  std::vector<float>& columns = host_.text;
  columns.assign(requests.size() * static_cast<size_t>(2 * g * e), 0.0f);
  float* to = columns.data();
  for (const ImageRequest& request : requests) {
    for (int64_t j = 0; request.text && j < g; ++j) {
      for (int64_t i = 0; i < e; ++i) {
        for (int64_t k = 0; k < 2; ++k) to[(2 * j + k) * e + i] = request.text[(j * e + i) * 2 + k];
      }
    }
    to += 2 * g * e;
  }
  return io_->upload(text.data(), columns.data(), columns.size() * sizeof(float));
}

Status Exchange::make_vectors() {
  if (vectors.size() > 0) return Status();
  const ModelConfig& c = *config_;
  const auto make = [&](int64_t count, Floats& to) {
    return keep(Floats::make(io_, static_cast<size_t>(items_ * count)), to);
  };
  ACD_RETURN_IF_ERROR(make(c.groups * 2 * c.patches(), logits));
  return make(c.groups * c.patches() * c.embed_dim, vectors);
}

void Exchange::drop_vectors() {
  logits = Floats();
  vectors = Floats();
  host_.logits = host_.vectors = std::vector<float>();
}

// Where the device's memory is the host's, results are read where the last kernel wrote them.
Status Exchange::bring(const Floats& from, int64_t count, std::vector<float>& host,
                       const float** to) {
  *to = from.data();
  if (!io_->has_streams()) return Status();
  if (host.size() < from.size()) host.resize(from.size());
  *to = host.data();
  return io_->download(host.data(), from.data(), static_cast<size_t>(count) * sizeof(float));
}

Status Exchange::fetch(const std::vector<ImageRequest>& requests, bool has_vectors,
                       std::vector<ImageResult>& out) {
  const ModelConfig& c = *config_;
  const int64_t g = c.groups, e = c.embed_dim, n = c.patches(), s = c.image_size;
  const auto items = static_cast<int64_t>(requests.size());
  const bool has_maps = std::any_of(requests.begin(), requests.end(), has_text);
  const OutputLayout at(c, items);
  const float *results = nullptr, *seg_vectors = nullptr, *group_logits = nullptr;
  ACD_RETURN_IF_ERROR(bring(outputs, has_maps ? at.end : at.gates, host_.outputs, &results));
  if (has_vectors)
    ACD_RETURN_IF_ERROR(bring(vectors, items * g * n * e, host_.vectors, &seg_vectors));
  if (has_vectors && has_maps)
    ACD_RETURN_IF_ERROR(bring(logits, items * g * 2 * n, host_.logits, &group_logits));
  out.assign(requests.size(), ImageResult());
  for (int64_t item = 0; item < items; ++item) {
    const ImageRequest& request = requests[static_cast<size_t>(item)];
    ImageResult& r = out[static_cast<size_t>(item)];
    r.det_features = results + at.det_mean + item * g * e;
    if (has_vectors) r.seg_vectors = seg_vectors + item * g * n * e;
    if (!request.text) continue;
    r.map = results + at.map + item * s * s;
    r.map_max = results[at.max + item];
    r.gates = results + at.gates + item * g * g * 2;
    if (has_vectors) r.group_logits = group_logits + item * g * 2 * n;
    double sum[2] = {0, 0};
    for (int64_t i = 0; i < g * e; ++i) {
      for (int k = 0; k < 2; ++k) sum[k] += double{r.det_features[i]} * request.text[i * 2 + k];
    }
    for (int k = 0; k < 2; ++k)
      r.det_logits[k] = static_cast<float>(sum[k] /= static_cast<double>(g));
    r.cls = 1.0 / (1.0 + std::exp(sum[0] - sum[1]));
  }
  return Status();
}

}  // namespace acd
