// What a scene is before light falls on it: colour, relief, gloss, and where the object is. Defects
// are edits of these layers; light and camera treat clean and damaged surfaces alike.
#pragma once

#include <cstddef>
#include <vector>

#include "datagen/fmath.h"
#include "datagen/recycled.h"
#include "datagen/rng.h"

namespace acd::datagen {

struct Color {
  float r = 0, g = 0, b = 0;
};
inline Color operator*(Color c, float k) { return {c.r * k, c.g * k, c.b * k}; }
inline Color operator+(Color a, Color b) { return {a.r + b.r, a.g + b.g, a.b + b.b}; }
inline Color mix(Color a, Color b, float t) {
  return {lerp(a.r, b.r, t), lerp(a.g, b.g, t), lerp(a.b, b.b, t)};
}
inline float luma(Color c) { return 0.3f * c.r + 0.59f * c.g + 0.11f * c.b; }
// Hue in turns.
inline Color hsv(float hue, float saturation, float value) {
  const auto channel = [&](float offset) {
    const float k = fract(hue + offset) * 6.0f;
    const float ramp = clamp01(absf(k - 3.0f) - 1.0f);
    return value * lerp(1.0f, ramp, saturation);
  };
  return {channel(0.0f), channel(2.0f / 3.0f), channel(1.0f / 3.0f)};
}

using Plane = std::vector<float, Recycled<float>>;

struct Surface {
  explicit Surface(int n)
      : size(n),
        r(count()),
        g(count()),
        b(count()),
        height(count()),
        gloss(count()),
        cover(count()) {}

  size_t count() const { return static_cast<size_t>(size) * static_cast<size_t>(size); }
  size_t at(int x, int y) const {
    return static_cast<size_t>(y) * static_cast<size_t>(size) + static_cast<size_t>(x);
  }
  Color color(size_t i) const { return {r[i], g[i], b[i]}; }
  void set(size_t i, Color c) { r[i] = c.r, g[i] = c.g, b[i] = c.b; }
  void blend(size_t i, Color c, float a) { set(i, mix(color(i), c, a)); }

  int size;
  Plane r, g, b;                       // diffuse reflectance, display-referred, 0..1
  Plane height;                        // pixels towards the viewer
  Plane gloss;                         // strength of the highlight
  Plane cover;                         // 1 on the inspected thing, 0 on the background
  Plane behind_r, behind_g, behind_b;  // the background alone; empty for textures
  Color under;                         // what shows through a hole in a texture
  float grain = 0;                     // main direction of the structure, in turns
  float period = 0;                    // its repeat in pixels; 0: none

  bool has_background() const { return !behind_r.empty(); }
  Color behind(size_t i) const {
    return has_background() ? Color{behind_r[i], behind_g[i], behind_b[i]} : under;
  }
};

}  // namespace acd::datagen
