// f32 products on the CPU: packing, and tiles on the team's threads.
#pragma once

#include "backend/cpu/cpu_context.h"

namespace acd {

PackedLinear pack_f32(CpuContext& cpu, const LinearWeights& w);

void linear_f32(CpuContext& cpu, const LinearParams& p);

// All columns of some rows, on the calling thread: y = x W^T + b.
void linear_f32_rows(const PackedLinear& w, const float* x, int64_t ldx, int64_t rows, float* y,
                     int64_t ldy);

}  // namespace acd
