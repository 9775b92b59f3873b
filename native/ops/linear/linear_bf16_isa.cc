#include "ops/linear/linear_bf16_isa.h"

#include "backend/cpu/simd.h"

namespace acd {
namespace ACD_ISA {

void round_rows(const float* x, int64_t ldx, int64_t rows, int64_t k, uint16_t* y) {
  const int64_t full = k / kLanes * kLanes;
  for (int64_t r = 0; r < rows; ++r) {
    const float* from = x + r * ldx;
    uint16_t* to = y + r * k;
    for (int64_t i = 0; i < full; i += kLanes) store_bf16(to + i, load(from + i));
    for (int64_t i = full; i < k; ++i) store_bf16(to + i, splat(from[i]), 1);
  }
}

}  // namespace ACD_ISA
}  // namespace acd
