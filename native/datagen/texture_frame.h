// The turned, gently bent frame that regular textures are drawn in.
#pragma once

#include "datagen/palette.h"
#include "datagen/scene.h"

namespace acd::datagen {

// Mostly square to the picture, as on an inspection line; sometimes any angle.
inline float texture_angle(Scene& s) {
  const float base = s.design.chance(0.65f) ? 0.25f * static_cast<float>(s.design.below(2))
                                            : s.design.range(0.0f, 0.5f);
  return base + s.pose.range(-0.008f, 0.008f);
}

struct Frame {
  float c, s, ou, ov;
  float u(float x, float y) const { return x * c + y * s + ou; }
  float v(float x, float y) const { return y * c - x * s + ov; }
};
// `scale`: pixels per unit.
inline Frame make_frame(Rng& rng, float angle, float scale) {
  const float ou = rng.range(20.0f, 120.0f);
  return {cos_turn(angle) / scale, sin_turn(angle) / scale, ou, rng.range(20.0f, 120.0f)};
}

inline void fill(Plane& plane, float value) { plane.assign(plane.size(), value); }
inline void fill(Surface& f, Color c) { fill(f.r, c.r), fill(f.g, c.g), fill(f.b, c.b); }

// Colour = mix(low, high, tone), per pixel.
inline void tint(Surface& f, const Plane& tone, Color low, Color high) {
  for (size_t i = 0; i < tone.size(); ++i) {
    const float t = clamp01(tone[i]);
    f.r[i] = lerp(low.r, high.r, t);
    f.g[i] = lerp(low.g, high.g, t);
    f.b[i] = lerp(low.b, high.b, t);
  }
}

// For textures: the whole picture is the thing.
inline void finish_texture(Surface& f, float gloss, Color under) {
  fill(f.cover, 1.0f);
  fill(f.gloss, gloss);
  f.under = under;
}

}  // namespace acd::datagen
