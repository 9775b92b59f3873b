#include "backend/cuda/host/device_errors.h"

namespace acd {
namespace {

// Numbers of cudaError_t, which are fixed.
constexpr int kMemoryAllocation = 2;

}  // namespace

bool is_sticky(int error) {
  switch (error) {
    case 214:  // uncorrectable memory error
    case 220:  // NVLink
    case 226:  // uncorrectable error that was contained
    case 700:  // illegal address
    case 702:  // the launch took too long
    case 709:  // the context is destroyed
    case 710:  // a failed assertion in a kernel
    case 714:  // hardware stack
    case 715:  // illegal instruction
    case 716:  // misaligned address
    case 717:  // invalid address space
    case 718:  // invalid program counter
    case 719:  // launch failure
    case 721:  // tensor memory not given back
    case 999:  // unknown: after it nothing can be trusted
      return true;
    default:
      return false;
  }
}

Status DeviceErrors::check(int error, const char* what) {
  if (error == 0) return Status();
  const std::string said = error_text_(error);
  if (error == kMemoryAllocation)
    return Status(Code::kOutOfMemory, device_ + " is out of memory (" + what + ")");
  if (!is_sticky(error)) {
    return Status(Code::kInternal,
                  device_ + ": " + what + " failed: " + said + " (" + std::to_string(error) + ")");
  }
  {
    std::lock_guard<std::mutex> lock(mutex_);
    if (why_.empty()) {
      why_ = "Device " + device_ + " was lost to this process: " + what + " failed with " + said +
             " (" + std::to_string(error) + "); start the process again to use it";
    }
  }
  is_lost_ = true;
  return lost();
}

Status DeviceErrors::lost() const {
  if (!is_lost_.load(std::memory_order_acquire)) return Status();
  std::lock_guard<std::mutex> lock(mutex_);
  return Status(Code::kDeviceUnavailable, why_);
}

}  // namespace acd
