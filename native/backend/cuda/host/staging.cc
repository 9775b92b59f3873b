#include "backend/cuda/host/staging.h"

#include <algorithm>
#include <cstring>

namespace acd {
namespace {

constexpr size_t kAlignment = 64;

}  // namespace

Staging::~Staging() {
  for (auto* slots : {&up_, &down_}) {
    for (Slot& slot : *slots) {
      if (slot.busy) runtime_.wait_for_event(slot.event);
      if (slot.event) runtime_.destroy_event(slot.event);
      if (slot.memory) runtime_.free_pinned(slot.memory);
    }
  }
}

// Memory and event on first use: many streams never copy.
Status Staging::prepare(Slot& slot) {
  if (!slot.memory) {
    void* memory = nullptr;
    ACD_RETURN_IF_ERROR(errors_.check(runtime_.malloc_pinned(&memory, kSlotBytes),
                                      "an allocation of pinned memory"));
    slot.memory = static_cast<uint8_t*>(memory);
  }
  if (!slot.event)
    ACD_RETURN_IF_ERROR(errors_.check(runtime_.create_event(&slot.event), "making an event"));
  return Status();
}

Status Staging::wait(Slot& slot) {
  if (slot.busy) {
    ACD_RETURN_IF_ERROR(errors_.check(runtime_.wait_for_event(slot.event), "waiting for a copy"));
  }
  slot.busy = false;
  slot.used = 0;
  return Status();
}

Status Staging::close(Slot& slot, void* stream) {
  ACD_RETURN_IF_ERROR(errors_.check(runtime_.record(slot.event, stream), "recording an event"));
  slot.busy = true;
  return Status();
}

Status Staging::upload(void* stream, void* device, const void* from, size_t bytes) {
  auto* to = static_cast<uint8_t*>(device);
  const auto* source = static_cast<const uint8_t*>(from);
  while (bytes > 0) {
    Slot& slot = up_[current_];
    ACD_RETURN_IF_ERROR(prepare(slot));
    if (slot.busy) ACD_RETURN_IF_ERROR(wait(slot));
    const size_t n = std::min(bytes, kSlotBytes - slot.used);
    std::memcpy(slot.memory + slot.used, source, n);
    ACD_RETURN_IF_ERROR(errors_.check(
        runtime_.copy(to, slot.memory + slot.used, n, CopyKind::kUpload, stream), "an upload"));
    slot.used = std::min(kSlotBytes, (slot.used + n + kAlignment - 1) / kAlignment * kAlignment);
    to += n;
    source += n;
    bytes -= n;
    if (slot.used == kSlotBytes) {
      ACD_RETURN_IF_ERROR(close(slot, stream));
      current_ ^= 1;
    }
  }
  return Status();
}

// While one slot is copied out to the caller, the next one fills.
Status Staging::download(void* stream, void* to, const void* device, size_t bytes) {
  auto* out = static_cast<uint8_t*>(to);
  const auto* source = static_cast<const uint8_t*>(device);
  const size_t pieces = (bytes + kSlotBytes - 1) / kSlotBytes;
  const auto size = [&](size_t piece) { return std::min(kSlotBytes, bytes - piece * kSlotBytes); };
  for (size_t piece = 0; piece <= pieces; ++piece) {
    if (piece < pieces) {
      Slot& slot = down_[piece % 2];
      ACD_RETURN_IF_ERROR(prepare(slot));
      ACD_RETURN_IF_ERROR(errors_.check(runtime_.copy(slot.memory, source + piece * kSlotBytes,
                                                      size(piece), CopyKind::kDownload, stream),
                                        "a download"));
      ACD_RETURN_IF_ERROR(close(slot, stream));
    }
    if (piece > 0) {
      Slot& slot = down_[(piece - 1) % 2];
      ACD_RETURN_IF_ERROR(wait(slot));
      std::memcpy(out + (piece - 1) * kSlotBytes, slot.memory, size(piece - 1));
    }
  }
  return Status();
}

}  // namespace acd
