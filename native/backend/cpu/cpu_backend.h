// The CPU as a backend.
#pragma once

#include "backend/device.h"

namespace acd {

// What this processor, at the level in use, computes in.
PrecisionSupport cpu_precision(Precision precision);

// threads: 0 = all that affinity and cgroup allow. Reads ACD_CLIP_ISA.
Result<std::shared_ptr<Device>> make_cpu_device(int threads);

}  // namespace acd
