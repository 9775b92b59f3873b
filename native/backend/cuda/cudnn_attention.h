// cuDNN, opened on demand, for its fused attention: the alternative to our own kernel.
#pragma once

#include "backend/cuda/library_report.h"

namespace acd {

LibraryReport cudnn_report();

}  // namespace acd
