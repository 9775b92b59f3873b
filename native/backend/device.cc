#include "backend/device.h"

#include <sstream>

#include "core/stage_clock.h"

namespace acd {
namespace {

// The extents that a stage is told apart by; other operations have one shape in a model.
template <typename Params>
Stage stage_of(const char* op, const Params&) {
  return {op, 0, 0, 0};
}
Stage stage_of(const char* op, const LinearParams& p) {
  return {op, p.batch * p.rows, p.k ? p.k : p.ldx, p.n ? p.n : p.ldy};
}
Stage stage_of(const char* op, const AttentionParams& p) {
  return {op, p.tokens, p.heads, p.batch};
}

}  // namespace

Result<std::shared_ptr<Device>> Device::adopt(const BackendTable& table) {
  if (table.abi_version != kAbiVersion || table.struct_bytes < sizeof(BackendTable)) {
    return Status(Code::kDeviceUnavailable,
                  std::string("Expected a backend of ABI ") + std::to_string(kAbiVersion) +
                      " for " + (table.name ? table.name : "device") + " but received ABI " +
                      std::to_string(table.abi_version));
  }
  return std::shared_ptr<Device>(new Device(std::make_shared<const Backend>(table), nullptr));
}

Result<std::shared_ptr<Device>> Device::fork() const {
  void* stream = nullptr;
  if (table_.create_stream) {
    ACD_RETURN_IF_ERROR(status_of(table_.create_stream(table_.self, &stream)));
  }
  std::shared_ptr<Device> forked(new Device(backend_, stream));
  forked->origin_ = origin_ ? origin_ : shared_from_this();
  return forked;
}

Device::~Device() {
  if (stream_) table_.destroy_stream(table_.self, stream_);
}

Status Device::status_of(int code) const {
  if (code == 0) return Status();
  return Status(static_cast<Code>(code), table_.last_error(table_.self));
}

Status Device::check_precision(Precision precision) const {
  if (!table_.check_precision) {
    if (precision == Precision::kFp32) return Status();
    return Status(Code::kUnsupported, std::string(table_.name) + " computes in fp32, not in " +
                                          precision_name(precision));
  }
  return status_of(table_.check_precision(table_.self, precision));
}
std::vector<std::string> Device::choices() const {
  std::vector<std::string> lines;
  if (!table_.describe_choices) return lines;
  std::string text(1 << 16, '\0');
  table_.describe_choices(table_.self, text.data(), text.size());
  std::istringstream in(text.c_str());
  for (std::string line; std::getline(in, line);) lines.push_back(line);
  return lines;
}
Status Device::alloc(size_t bytes, void** out) const {
  ACD_RETURN_IF_ERROR(status_of(table_.alloc(table_.self, stream_, bytes, out)));
  live_bytes_ += static_cast<int64_t>(bytes);
  return Status();
}
void Device::release(void* memory, size_t bytes) const {
  table_.release(table_.self, stream_, memory, bytes);
  live_bytes_ -= static_cast<int64_t>(bytes);
}
Status Device::upload(void* device, const void* host, size_t bytes) const {
  return status_of(table_.upload(table_.self, stream_, device, host, bytes));
}
Status Device::download(void* host, const void* device, size_t bytes) const {
  return status_of(table_.download(table_.self, stream_, host, device, bytes));
}
Status Device::synchronize() const { return status_of(table_.synchronize(table_.self, stream_)); }
Status Device::wait_for(const Device& other) const {
  if (!table_.wait_for || stream_ == other.stream_) return Status();
  return status_of(table_.wait_for(table_.self, stream_, other.stream_));
}
Status Device::pack_linear(const LinearWeights& weights, PackedLinear** out) const {
  ACD_RETURN_IF_ERROR(status_of(table_.pack_linear(table_.self, &weights, out)));
  live_bytes_ += static_cast<int64_t>(linear_bytes(*out));
  return Status();
}
void Device::release_linear(PackedLinear* packed) const {
  live_bytes_ -= static_cast<int64_t>(linear_bytes(packed));
  table_.release_linear(table_.self, packed);
}
Status Device::begin_graph() const { return status_of(table_.begin_graph(table_.self, stream_)); }
Status Device::end_graph(void** graph) const {
  return status_of(table_.end_graph(table_.self, stream_, graph));
}
Status Device::launch_graph(void* graph) const {
  return status_of(table_.launch_graph(table_.self, stream_, graph));
}

template <typename Params>
Status Device::call(int (*entry)(void*, void*, const Params*), const Params& p,
                    const char* op) const {
  if (!entry) {
    return Status(Code::kUnsupported, std::string(table_.name) + " has no kernel for " + op);
  }
  StageClock* clock = StageClock::current();
  if (!clock) return status_of(entry(table_.self, stream_, &p));
  return clock->time(stage_of(op, p), [&] {
    const Status status = status_of(entry(table_.self, stream_, &p));
    // A device that queues its work is done with it only here.
    return status.ok() ? synchronize() : status;
  });
}

#define ACD_DEVICE_OP(op, Params) \
  Status Device::op(const Params& p) const { return call(table_.op, p, #op); }
ACD_DEVICE_OP(linear, LinearParams)
ACD_DEVICE_OP(layer_norm, LayerNormParams)
ACD_DEVICE_OP(attention, AttentionParams)
ACD_DEVICE_OP(patchify, PatchifyParams)
ACD_DEVICE_OP(assemble_tokens, AssembleTokensParams)
ACD_DEVICE_OP(gather_tokens, GatherTokensParams)
ACD_DEVICE_OP(conv_tokens, ConvTokensParams)
ACD_DEVICE_OP(lora_blend, LoraBlendParams)
ACD_DEVICE_OP(head, HeadParams)
ACD_DEVICE_OP(gate, GateParams)
ACD_DEVICE_OP(fuse_map, FuseMapParams)
ACD_DEVICE_OP(quantize, QuantizeParams)
ACD_DEVICE_OP(preprocess, PreprocessParams)
#undef ACD_DEVICE_OP

}  // namespace acd
