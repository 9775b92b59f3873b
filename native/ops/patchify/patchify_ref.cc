#include "ops/patchify/patchify.h"

namespace acd {

void patchify_ref(const PatchifyParams& p) {
  const int64_t g = p.size / p.patch;
  float* out = p.rows;
  for (int64_t b = 0; b < p.batch; ++b)
    for (int64_t gy = 0; gy < g; ++gy)
      for (int64_t gx = 0; gx < g; ++gx)
        for (int64_t c = 0; c < 3; ++c)
          for (int64_t y = 0; y < p.patch; ++y)
            for (int64_t x = 0; x < p.patch; ++x)
              *out++ =
                  p.image[((b * 3 + c) * p.size + gy * p.patch + y) * p.size + gx * p.patch + x];
}

}  // namespace acd
