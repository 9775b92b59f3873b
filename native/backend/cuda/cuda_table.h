// The backend's table: which entries this build has.
#pragma once

#include <string>

#include "backend/backend.h"

namespace acd {

// Every entry that this build has; `self` and `name` are the caller's to fill.
BackendTable cuda_table();

// The ops of inference that the table lacks, "attention, head"; empty when it has them all.
std::string missing_kernels(const BackendTable& table);

}  // namespace acd
