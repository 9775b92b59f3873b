// A backend as the model sees it: the table's entries with Status instead of codes, and memory that
// frees itself.
#pragma once

#include <atomic>
#include <memory>
#include <string>
#include <vector>

#include "backend/backend.h"
#include "core/status.h"

namespace acd {

class Device : public std::enable_shared_from_this<Device> {
 public:
  // Takes over the table; refuses one of another ABI.
  static Result<std::shared_ptr<Device>> adopt(const BackendTable& table);
  // The same backend with a stream and a count of its own: for whoever works beside others. Keeps
  // the adopted device alive.
  Result<std::shared_ptr<Device>> fork() const;
  ~Device();
  Device(const Device&) = delete;
  Device& operator=(const Device&) = delete;

  const char* name() const { return table_.name; }
  // Fails with kUnsupported and the reason.
  Status check_precision(Precision precision) const;
  // What the backend has chosen by measuring, one line each.
  std::vector<std::string> choices() const;
  // Bytes asked for through this object and not given back yet, packed weights included.
  int64_t live_bytes() const { return live_bytes_; }
  bool has_streams() const { return table_.create_stream != nullptr; }
  bool has_preprocess() const { return table_.preprocess != nullptr; }
  bool rounds_to_bf16() const { return table_.rounds_to_bf16; }

  Status alloc(size_t bytes, void** out) const;
  void release(void* memory, size_t bytes) const;
  Status upload(void* device, const void* host, size_t bytes) const;
  Status download(void* host, const void* device, size_t bytes) const;
  Status synchronize() const;
  // What is asked of this stream from now on begins after all that `other`, of the same backend,
  // was asked so far.
  Status wait_for(const Device& other) const;

  Status pack_linear(const LinearWeights& weights, PackedLinear** out) const;
  void release_linear(PackedLinear* packed) const;
  size_t linear_bytes(const PackedLinear* packed) const {
    return table_.linear_bytes(table_.self, packed);
  }

  // Written down once, run again with one call; see backend.h. false: this backend has none.
  bool has_graphs() const { return table_.begin_graph != nullptr; }
  Status begin_graph() const;
  Status end_graph(void** graph) const;
  Status launch_graph(void* graph) const;
  void release_graph(void* graph) const { table_.release_graph(table_.self, graph); }

  Status linear(const LinearParams& p) const;
  Status layer_norm(const LayerNormParams& p) const;
  Status attention(const AttentionParams& p) const;
  Status patchify(const PatchifyParams& p) const;
  Status assemble_tokens(const AssembleTokensParams& p) const;
  Status gather_tokens(const GatherTokensParams& p) const;
  Status conv_tokens(const ConvTokensParams& p) const;
  Status lora_blend(const LoraBlendParams& p) const;
  Status head(const HeadParams& p) const;
  Status gate(const GateParams& p) const;
  Status fuse_map(const FuseMapParams& p) const;
  Status quantize(const QuantizeParams& p) const;
  Status preprocess(const PreprocessParams& p) const;

 private:
  // Ends the backend with its last user.
  struct Backend {
    explicit Backend(const BackendTable& t) : table(t) {}
    ~Backend() { table.destroy(table.self); }
    Backend(const Backend&) = delete;
    Backend& operator=(const Backend&) = delete;
    BackendTable table;
  };

  Device(std::shared_ptr<const Backend> backend, void* stream)
      : backend_(std::move(backend)), table_(backend_->table), stream_(stream) {}
  Status status_of(int code) const;
  template <typename Params>
  Status call(int (*entry)(void*, void*, const Params*), const Params& p, const char* op) const;

  std::shared_ptr<const Backend> backend_;
  std::shared_ptr<const Device> origin_;  // that was adopted; null: this one
  const BackendTable& table_;
  void* stream_;  // null: shared by all
  mutable std::atomic<int64_t> live_bytes_{0};
};

// Device memory of n elements.
template <typename T>
class DeviceArray {
 public:
  DeviceArray() = default;
  static Result<DeviceArray> make(std::shared_ptr<Device> device, size_t n) {
    void* p = nullptr;
    ACD_RETURN_IF_ERROR(device->alloc(n * sizeof(T), &p));
    return DeviceArray(std::move(device), static_cast<T*>(p), n);
  }
  ~DeviceArray() {
    if (data_) device_->release(data_, n_ * sizeof(T));
  }
  DeviceArray(DeviceArray&& o) noexcept { swap(o); }
  DeviceArray& operator=(DeviceArray&& o) noexcept {
    swap(o);
    return *this;
  }
  DeviceArray(const DeviceArray&) = delete;
  DeviceArray& operator=(const DeviceArray&) = delete;

  T* data() const { return data_; }
  size_t size() const { return n_; }
  size_t bytes() const { return n_ * sizeof(T); }

 private:
  DeviceArray(std::shared_ptr<Device> device, T* data, size_t n)
      : device_(std::move(device)), data_(data), n_(n) {}
  void swap(DeviceArray& o) noexcept {
    std::swap(device_, o.device_);
    std::swap(data_, o.data_);
    std::swap(n_, o.n_);
  }

  std::shared_ptr<Device> device_;
  T* data_ = nullptr;
  size_t n_ = 0;
};

// Packed weights of one linear.
class Linear {
 public:
  Linear() = default;
  static Result<Linear> make(std::shared_ptr<Device> device, const LinearWeights& weights) {
    Linear l;
    ACD_RETURN_IF_ERROR(device->pack_linear(weights, &l.packed_));
    l.type_ = weights.type;
    l.device_ = std::move(device);
    return l;
  }
  ~Linear() {
    if (packed_) device_->release_linear(packed_);
  }
  Linear(Linear&& o) noexcept { swap(o); }
  Linear& operator=(Linear&& o) noexcept {
    swap(o);
    return *this;
  }
  Linear(const Linear&) = delete;
  Linear& operator=(const Linear&) = delete;
  const PackedLinear* packed() const { return packed_; }
  NumberType type() const { return type_; }

 private:
  void swap(Linear& o) noexcept {
    std::swap(device_, o.device_);
    std::swap(packed_, o.packed_);
    std::swap(type_, o.type_);
  }

  std::shared_ptr<Device> device_;
  PackedLinear* packed_ = nullptr;
  NumberType type_ = NumberType::kF32;
};

}  // namespace acd
