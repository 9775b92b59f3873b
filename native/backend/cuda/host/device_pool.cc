#include "backend/cuda/host/device_pool.h"

#include <algorithm>
#include <limits>

namespace acd {
namespace {

constexpr size_t kSmall = 512;              // every block is a multiple of it
constexpr size_t kLarge = size_t{2} << 20;  // blocks above it are multiples of it: a driver's page
constexpr size_t kMost = size_t{1} << 46;   // beyond any device: no sum below overflows

size_t rounded(size_t bytes) {
  const size_t unit = bytes > kLarge ? kLarge : kSmall;
  return (bytes + unit - 1) / unit * unit;
}

std::string mebibytes(uint64_t bytes) {
  const uint64_t tenths = (bytes * 10 + (1 << 19)) >> 20;
  return std::to_string(tenths / 10) + "." + std::to_string(tenths % 10) + " MiB";
}

}  // namespace

DevicePool::DevicePool(const CudaRuntime& runtime, DeviceErrors& errors, std::string device,
                       uint64_t budget_bytes)
    : runtime_(runtime),
      errors_(errors),
      device_(std::move(device)),
      budget_bytes_(budget_bytes == 0 ? std::numeric_limits<uint64_t>::max() : budget_bytes) {}

DevicePool::~DevicePool() {
  for (const auto& [memory, block] : used_) runtime_.free_device(memory);
  for (const auto& [bytes, kept] : kept_) runtime_.free_device(kept.memory);
}

Status DevicePool::alloc(void* stream, size_t bytes, void** out) {
  *out = nullptr;
  if (bytes == 0) return Status();
  std::lock_guard<std::mutex> lock(mutex_);
  if (bytes > kMost) return out_of_memory(bytes);
  const size_t wanted = rounded(bytes);
  ACD_RETURN_IF_ERROR(take_kept(stream, wanted, out));
  if (*out) return Status();
  if (!fits(wanted)) give_back_kept();
  if (!fits(wanted)) return out_of_memory(bytes);
  int error = runtime_.malloc_device(out, wanted);
  if (error != 0 && !is_sticky(error) && !kept_.empty()) {
    runtime_.last_error();
    give_back_kept();
    error = runtime_.malloc_device(out, wanted);
  }
  if (error != 0) {
    *out = nullptr;
    runtime_.last_error();
    const Status status = errors_.check(error, "an allocation");
    return status.code() == Code::kOutOfMemory ? out_of_memory(bytes) : status;
  }
  used_[*out] = {wanted, stream};
  held_bytes_ += wanted;
  in_use_bytes_ += wanted;
  peak_bytes_ = std::max(peak_bytes_, in_use_bytes_);
  return Status();
}

// The smallest kept block that wastes at most a quarter; one of this stream before all others.
Status DevicePool::take_kept(void* stream, size_t bytes, void** out) {
  auto best = kept_.end();
  for (auto it = kept_.lower_bound(bytes); it != kept_.end() && it->first <= bytes + bytes / 4;
       ++it) {
    const bool ready = it->second.stream == stream || !it->second.stream;
    if (best == kept_.end()) best = it;
    if (!ready) continue;
    best = it;
    break;
  }
  if (best == kept_.end()) return Status();
  const auto [size, kept] = *best;
  if (kept.stream && kept.stream != stream) {
    ACD_RETURN_IF_ERROR(errors_.check(runtime_.synchronize(kept.stream), "waiting for a stream"));
  }
  kept_.erase(best);
  used_[kept.memory] = {size, stream};
  in_use_bytes_ += size;
  peak_bytes_ = std::max(peak_bytes_, in_use_bytes_);
  *out = kept.memory;
  return Status();
}

void DevicePool::release(void* stream, void* memory) {
  if (!memory) return;
  std::lock_guard<std::mutex> lock(mutex_);
  const auto it = used_.find(memory);
  if (it == used_.end()) return;
  const Block block = it->second;
  used_.erase(it);
  in_use_bytes_ -= block.bytes;
  kept_.insert({block.bytes, {memory, stream}});
}

void DevicePool::forget_stream(void* stream) {
  std::lock_guard<std::mutex> lock(mutex_);
  for (auto& entry : kept_) {
    if (entry.second.stream == stream) entry.second.stream = nullptr;
  }
  for (auto& entry : used_) {
    if (entry.second.stream == stream) entry.second.stream = nullptr;
  }
}

DevicePool::Usage DevicePool::usage() const {
  std::lock_guard<std::mutex> lock(mutex_);
  return {in_use_bytes_, held_bytes_, peak_bytes_};
}

// The driver waits for the streams that may still use the blocks.
void DevicePool::give_back_kept() {
  for (const auto& [bytes, kept] : kept_) {
    runtime_.free_device(kept.memory);
    held_bytes_ -= bytes;
  }
  kept_.clear();
}

bool DevicePool::fits(size_t bytes) const {
  return held_bytes_ <= budget_bytes_ && bytes <= budget_bytes_ - held_bytes_;
}

Status DevicePool::out_of_memory(size_t bytes) {
  size_t free = 0, total = 0;
  const bool known = runtime_.memory(&free, &total) == 0;
  std::string message =
      "Device " + device_ + " is out of memory: " + mebibytes(bytes) + " were asked for, ";
  message += known ? mebibytes(free) + " of " + mebibytes(total) + " are free" : "nothing is free";
  message += ", " + mebibytes(in_use_bytes_) + " are in use by this process";
  if (budget_bytes_ != std::numeric_limits<uint64_t>::max())
    message += " with a budget of " + mebibytes(budget_bytes_);
  return Status(Code::kOutOfMemory, message);
}

}  // namespace acd
