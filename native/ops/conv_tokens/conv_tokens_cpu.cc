#include <algorithm>

#include "backend/cpu/cpu_context.h"
#include "backend/cpu/isa.h"
#include "ops/conv_tokens/conv_tokens_isa.h"

namespace acd {
namespace {

// [c_out, c_in / groups, k, k] -> [groups][k * k][c_in / groups][padded], zero in the padding.
const float* pack_taps(const ConvTokensParams& p, int64_t padded) {
  const int64_t inputs = p.c_in / p.groups, outputs = p.c_out / p.groups, taps = p.k * p.k;
  const int64_t size = p.groups * taps * inputs * padded;
  float* packed = CpuContext::shared_scratch(size);
  std::fill_n(packed, size, 0.0f);
  for (int64_t o = 0; o < p.c_out; ++o) {
    for (int64_t c = 0; c < inputs; ++c) {
      for (int64_t t = 0; t < taps; ++t) {
        packed[((o / outputs * taps + t) * inputs + c) * padded + o % outputs] =
            p.weight[(o * inputs + c) * taps + t];
      }
    }
  }
  return packed;
}

}  // namespace

void conv_tokens_cpu(CpuContext& cpu, const ConvTokensParams& p) {
  const float* packed = pack_taps(p, ACD_PICK_ISA(conv_tokens_padded_outputs)(p));
  const auto kernel = ACD_PICK_ISA(conv_tokens_rows);
  const int64_t height = 4;
  const int64_t bands = (p.grid + height - 1) / height;
  cpu.run(p.batch * bands, [&](int64_t tile) {
    const int64_t begin = tile % bands * height;
    kernel(p, packed, tile / bands, begin, std::min(p.grid, begin + height));
  });
}

}  // namespace acd
