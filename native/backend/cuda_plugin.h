// The CUDA backend as the rest of the program sees it: a shared library beside this one, opened
// when somebody first asks for a GPU, and the reason when it cannot be used.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "backend/cuda/plugin.h"
#include "backend/device.h"

namespace acd {

struct CudaState {
  std::string plugin;  // path of libacd_cuda.so; empty when there is none
  CudaProbe probe;     // zeros but for `reason` when the plugin cannot be opened
};

// What there is, asked once per process; the answer for libraries as well only when `libraries`.
// ACD_CUDA_PLUGIN names another file than libacd_cuda.so beside this library.
const CudaState& cuda_state(bool libraries);

// What the devices in use have chosen by measuring, "cuda:0: attention ...", one line each.
std::vector<std::string> cuda_choices();

// Device `index`. Every caller of the process shares one backend a device for as long as anybody
// holds it. kDeviceUnavailable with the reason.
//
// budget_bytes: most device memory that the process takes there, of all models together; 0: what
// whoever opened the device said, else all of it. kInvalidArg where it is in use with another one.
Result<std::shared_ptr<Device>> make_cuda_device(int index, uint64_t budget_bytes = 0);

}  // namespace acd
