#include "ops/quantize/quantize_isa.h"

#include "ops/quantize/quantize_row.h"

namespace acd {
namespace ACD_ISA {
namespace {

struct F32Row {
  const float* x;
  Vec operator()(int64_t i) const { return load(x + i); }
  float one(int64_t i) const { return x[i]; }
};

struct Bf16Row {
  const uint16_t* x;
  Vec operator()(int64_t i) const { return load_bf16(x + i); }
  float one(int64_t i) const {
    const uint32_t bits = static_cast<uint32_t>(x[i]) << 16;
    float f;
    memcpy(&f, &bits, sizeof f);
    return f;
  }
};

}  // namespace

void quantize_rows(const QuantizeParams& p, int64_t begin, int64_t end) {
  for (int64_t r = begin; r < end; ++r) {
    uint8_t* y = p.y + r * p.ldy;
    p.scales[r] =
        p.x_type == NumberType::kF32
            ? quantize_row(F32Row{static_cast<const float*>(p.x) + r * p.ldx}, p.width, y)
            : quantize_row(Bf16Row{static_cast<const uint16_t*>(p.x) + r * p.ldx}, p.width, y);
  }
}

}  // namespace ACD_ISA
}  // namespace acd
