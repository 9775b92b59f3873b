// The host's kernels at their plainest level: the other file of this name asks oneDNN.
#include "backend/cpu/isa.h"

namespace acd {

Isa current_isa() { return Isa::kBaseline; }

}  // namespace acd
