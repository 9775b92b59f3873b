#pragma once

#include "backend/cpu/isa_dispatch.h"
#include "ops/layer_norm/layer_norm.h"

namespace acd {
ACD_DECLARE_ISA(void layer_norm_rows(const LayerNormParams& p, int64_t begin, int64_t end))
}  // namespace acd
