#include "datagen/noise.h"

namespace acd::datagen {

Noise::Noise(Rng rng) : values_(kWidth * kHeight) {
  for (size_t i = 0; i < values_.size(); i += 4) {
    uint64_t bits = rng.next();
    for (size_t k = 0; k < 4; ++k, bits >>= 16)
      values_[i + k] = static_cast<float>(bits & 0xffff) * (2.0f / 65535.0f) - 1.0f;
  }
}

void Noise::add(Plane& plane, int size, float cell_x, float cell_y, float amplitude,
                float shift) const {
  const float step_x = 1.0f / maxf(cell_x, 1.0f), step_y = 1.0f / maxf(cell_y, 1.0f);
  const size_t n = static_cast<size_t>(size);
  std::vector<int> index(n);
  std::vector<float> weight(n);
  for (size_t x = 0; x < n; ++x) {
    const float u = static_cast<float>(x) * step_x + absf(shift) * 37.13f;
    index[x] = ifloor(u) & (kWidth - 1);
    weight[x] = ease(fract(u));
  }
  std::array<float, kWidth + 1> line;
  for (int y = 0; y < size; ++y) {
    const float v = static_cast<float>(y) * step_y + absf(shift) * 11.71f;
    const int iv = ifloor(v);
    const float fv = ease(v - static_cast<float>(iv));
    const float* top = row(iv);
    const float* bottom = row(iv + 1);
    for (size_t k = 0; k < kWidth; ++k) line[k] = amplitude * lerp(top[k], bottom[k], fv);
    line[kWidth] = line[0];
    float* out = &plane[static_cast<size_t>(y) * n];
    for (size_t x = 0; x < n; ++x) {
      const size_t k = static_cast<size_t>(index[x]);
      out[x] += lerp(line[k], line[k + 1], weight[x]);
    }
  }
}

void Noise::add_octaves(Plane& plane, int size, float cell, int octaves, float amplitude,
                        float gain, float shift) const {
  for (int o = 0; o < octaves && cell >= 1.0f; ++o) {
    add(plane, size, cell, cell, amplitude, shift + static_cast<float>(o) * 1.37f);
    cell *= 0.5f;
    amplitude *= gain;
  }
}

}  // namespace acd::datagen
