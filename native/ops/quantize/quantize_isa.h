#pragma once

#include "backend/cpu/isa_dispatch.h"
#include "ops/quantize/quantize.h"

namespace acd {
ACD_DECLARE_ISA(void quantize_rows(const QuantizeParams& p, int64_t begin, int64_t end))
}  // namespace acd
