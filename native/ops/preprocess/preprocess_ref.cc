#include <vector>

#include "ops/preprocess/preprocess.h"
#include "ops/resize/resize.h"

namespace acd {

void preprocess_rgb8_ref(const uint8_t* src, int w, int h, int size, float* dst) {
  std::vector<uint8_t> resized(static_cast<size_t>(size) * size * 3);
  resize_bicubic_u8_ref(src, w, h, 3, resized.data(), size, size);
  for (int c = 0; c < 3; ++c) {
    for (int y = 0; y < size; ++y) {
      for (int x = 0; x < size; ++x) {
        const size_t at = static_cast<size_t>(y) * size + x;
        // volatile: each step is rounded to float32, as numpy does it, whatever the compiler's
        // flags.
        volatile float v = static_cast<float>(resized[at * 3 + c]);
        v = v / 255.0f;
        v = v - kImageMean[c];
        v = v / kImageStd[c];
        dst[static_cast<size_t>(c) * size * size + at] = v;
      }
    }
  }
}

}  // namespace acd
