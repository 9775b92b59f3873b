// Objects: a background, a shadow, and a shape drawn in its own turned coordinates.
#pragma once

#include "datagen/texture_frame.h"

namespace acd::datagen {

// Fills colour and a weak relief of the whole picture, then remembers it as what is behind.
void draw_background(Scene& scene, Surface& surface);
// Soft shadow of what covers the background.
void cast_shadow(Scene& scene, Surface& surface);

// Placement: object units (the object spans about -1..1) to pixels.
struct Placement {
  float cx, cy, c, s, scale;
};
Placement place(Scene& scene, const Surface& surface, float smallest, float largest,
                bool any_angle);

struct Texel {
  float distance = 1;  // to the outline in object units, negative inside
  Color color;
  float height = 0;  // in object units
  float gloss = 0;
};

// `shape(u, v)` gives the Texel at object coordinates; nothing is drawn beyond `reach` units.
template <typename Shape>
void draw_object(Surface& f, const Placement& p, float reach, const Shape& shape) {
  const auto bound = [&](float centre, float side) {
    const float edge = centre + side * reach * p.scale;
    return static_cast<int>(clampf(edge, 0.0f, static_cast<float>(f.size)));
  };
  for (int y = bound(p.cy, -1.0f); y < bound(p.cy, 1.0f); ++y) {
    for (int x = bound(p.cx, -1.0f); x < bound(p.cx, 1.0f); ++x) {
      const float dx = (static_cast<float>(x) - p.cx) / p.scale;
      const float dy = (static_cast<float>(y) - p.cy) / p.scale;
      const Texel t = shape(dx * p.c + dy * p.s, dy * p.c - dx * p.s);
      const float on = clamp01(0.5f - t.distance * p.scale);
      if (on <= 0) continue;
      const size_t i = f.at(x, y);
      f.blend(i, t.color, on);
      f.height[i] = lerp(f.height[i], t.height * p.scale, on);
      f.gloss[i] = lerp(f.gloss[i], t.gloss, on);
      f.cover[i] = maxf(f.cover[i], on);
    }
  }
}

inline float box_distance(float u, float v, float half_u, float half_v, float radius) {
  const float a = absf(u) - half_u + radius, b = absf(v) - half_v + radius;
  return length(maxf(a, 0.0f), maxf(b, 0.0f)) + minf(maxf(a, b), 0.0f) - radius;
}
inline float segment_distance(float u, float v, float au, float av, float bu, float bv) {
  const float du = bu - au, dv = bv - av;
  const float t = clamp01(((u - au) * du + (v - av) * dv) / maxf(du * du + dv * dv, 1e-9f));
  return length(u - au - t * du, v - av - t * dv);
}
// Distance to a character of a seven-segment alphabet, in a cell of 1 by 2.
float glyph_distance(int code, float u, float v);

}  // namespace acd::datagen
