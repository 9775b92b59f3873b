// What an error of the CUDA runtime means for the caller and for the device.
//
//   out of memory   kOutOfMemory; nothing is lost and the call may be repeated
//   sticky          the process's context on the device is destroyed (an access to memory that is
//                   not there, a failed assertion, an uncorrectable memory error, a launch that
//                   never ended ...): kDeviceUnavailable, now and for every later call, at once
//   anything else   kInternal: we called it wrongly
#pragma once

#include <atomic>
#include <mutex>
#include <string>

#include "core/status.h"

namespace acd {

bool is_sticky(int cuda_error);

class DeviceErrors {
 public:
  // device: "cuda:0". error_text: the runtime's own words.
  DeviceErrors(std::string device, const char* (*error_text)(int))
      : device_(std::move(device)), error_text_(error_text) {}

  // The status of an error that `what` gave ("attention", "an upload"). A sticky one loses the
  // device.
  Status check(int cuda_error, const char* what);

  // Fine, or why the device is lost. Costs an atomic load while it is fine.
  Status lost() const;

 private:
  const std::string device_;
  const char* (*error_text_)(int);
  std::atomic<bool> is_lost_{false};
  mutable std::mutex mutex_;
  std::string why_;
};

}  // namespace acd
