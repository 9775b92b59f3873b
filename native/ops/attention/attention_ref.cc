#include <cmath>
#include <vector>

#include "core/half.h"
#include "ops/attention/attention.h"

namespace acd {

void attention_ref(const AttentionParams& p) {
  const int64_t width = p.heads * kHeadWidth;
  std::vector<double> s(static_cast<size_t>(p.tokens));
  std::vector<float> qkv(static_cast<size_t>(p.batch * p.tokens * 3 * width));
  for (size_t i = 0; i < qkv.size(); ++i)
    qkv[i] = number_at(p.qkv, p.type, static_cast<int64_t>(i));
  for (int64_t b = 0; b < p.batch; ++b) {
    for (int64_t h = 0; h < p.heads; ++h) {
      const float* q = qkv.data() + b * p.tokens * 3 * width + h * kHeadWidth;
      for (int64_t i = 0; i < p.tokens; ++i) {
        const int64_t keys = p.causal ? i + 1 : p.tokens;
        double top = -INFINITY, total = 0;
        for (int64_t j = 0; j < keys; ++j) {
          double dot = 0;
          for (int64_t d = 0; d < kHeadWidth; ++d)
            dot += double{q[i * 3 * width + d]} * q[j * 3 * width + width + d];
          s[j] = dot / 8;
          top = std::max(top, s[j]);
        }
        for (int64_t j = 0; j < keys; ++j) total += s[j] = std::exp(s[j] - top);
        for (int64_t d = 0; d < kHeadWidth; ++d) {
          double o = 0;
          for (int64_t j = 0; j < keys; ++j) o += s[j] * q[j * 3 * width + 2 * width + d];
          put_number(p.out, p.type, (b * p.tokens + i) * width + h * kHeadWidth + d,
                     static_cast<float>(o / total));
        }
      }
    }
  }
}

}  // namespace acd
