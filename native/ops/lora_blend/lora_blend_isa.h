#pragma once

#include "backend/cpu/isa_dispatch.h"
#include "ops/lora_blend/lora_blend.h"

namespace acd {
// Floats of scratch that lora_blend_rows needs.
ACD_DECLARE_ISA(int64_t lora_blend_scratch(const LoraBlendParams& p))
ACD_DECLARE_ISA(void lora_blend_rows(const LoraBlendParams& p, int64_t begin, int64_t end,
                                     float* scratch))
}  // namespace acd
