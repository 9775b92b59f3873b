// The references of every op (native/ops/*/*_ref.cc) as a device on host memory: what the GPU is
// compared with on a machine that has neither oneDNN nor Node.
#pragma once

#include <memory>

#include "backend/device.h"

namespace acd::test {

std::shared_ptr<Device> reference_device();

}  // namespace acd::test
