// Value noise from one table of random numbers per sample.
#pragma once

#include <array>

#include "datagen/surface.h"

namespace acd::datagen {

class Noise {
 public:
  static constexpr int kWidth = 256;
  static constexpr int kHeight = 128;

  explicit Noise(Rng rng);

  // In [-1, 1], smooth, one cell wide per unit.
  float at(float x, float y) const {
    const int ix = ifloor(x), iy = ifloor(y);
    const float fx = ease(x - static_cast<float>(ix)), fy = ease(y - static_cast<float>(iy));
    const float* top = row(iy);
    const float* bottom = row(iy + 1);
    const int a = ix & (kWidth - 1), b = (ix + 1) & (kWidth - 1);
    return lerp(lerp(top[a], top[b], fx), lerp(bottom[a], bottom[b], fx), fy);
  }
  // Three octaves of at().
  float rough(float x, float y) const {
    return 0.57f * at(x, y) + 0.28f * at(x * 2.03f + 17.3f, y * 2.03f + 5.1f) +
           0.15f * at(x * 4.1f + 41.7f, y * 4.1f + 63.2f);
  }
  // A number in [-1, 1] per integer pair.
  float cell(int x, int y) const { return row(y)[x & (kWidth - 1)]; }

  // plane += amplitude * noise with cells of cell_x by cell_y pixels; `shift` moves the lattice.
  void add(Plane& plane, int size, float cell_x, float cell_y, float amplitude, float shift) const;
  // Several octaves of add(), each half as large and `gain` times as strong.
  void add_octaves(Plane& plane, int size, float cell, int octaves, float amplitude, float gain,
                   float shift) const;

 private:
  static float ease(float t) { return t * t * (3.0f - 2.0f * t); }
  const float* row(int y) const {
    return &values_[static_cast<size_t>((y & (kHeight - 1)) * kWidth)];
  }

  Plane values_;
};

}  // namespace acd::datagen
