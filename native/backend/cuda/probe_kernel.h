// Whether this build holds machine code, or code that the driver can compile, for the current
// device.
#pragma once

namespace acd {

// A cudaError_t: 0 when there is.
int probe_kernel_image();

}  // namespace acd
