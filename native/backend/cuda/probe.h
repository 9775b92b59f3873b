// What this machine has for the backend: driver, libraries, devices, each with a reason.
#pragma once

#include "backend/cuda/plugin.h"

namespace acd {

void probe_cuda(CudaProbe& probe, bool libraries);

// Copies with truncation and a closing zero.
void put_text(char* to, size_t bytes, const char* text);

}  // namespace acd
