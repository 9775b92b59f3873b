// Pill, capsule, button, coin, bottle.
#include "datagen/object.h"

namespace acd::datagen {
namespace {

// Up to three characters side by side, centred; the stroke's depth in 0..1.
struct Print {
  int codes[3];
  int count;
  float size;
  float depth(float u, float v) const {
    if (count == 0) return 0;
    const float x = u / size + 0.75f * static_cast<float>(count) - 0.25f, y = v / size + 1.0f;
    const int k = ifloor(x / 1.5f);
    if (k < 0 || k >= count || y < -0.4f || y > 2.4f) return 0;
    const float d = glyph_distance(codes[k], x - 1.5f * static_cast<float>(k), y);
    return smoothstep(0.28f, 0.12f, d);
  }
};
Print make_print(Rng& rng, float size) {
  Print p{};
  p.count = rng.below(4);
  for (int& code : p.codes) code = 1 + rng.below(255);
  p.size = size;
  return p;
}

}  // namespace

void draw_pill(Scene& s, Surface& f) {
  draw_background(s, f);
  const Color body = s.design.chance(0.5f) ? grey(s.design, 0.8f, 0.97f) : dyed(s.design);
  const float aspect = s.design.chance(0.4f) ? 1.0f : s.design.range(0.45f, 0.85f);
  const bool boxy = s.design.chance(0.25f), scored = s.design.chance(0.35f);
  const float dome = s.design.range(0.08f, 0.4f), gloss = s.design.range(0.02f, 0.4f);
  const float speckle = s.design.chance(0.4f) ? s.design.range(0.1f, 0.6f) : 0.0f;
  const Color fleck = dyed(s.design), ink = s.design.chance(0.5f) ? body * 0.8f : dyed(s.design);
  const Print print = make_print(s.design, 0.14f);
  const bool engraved = s.design.chance(0.6f);
  const Placement p = place(s, f, 0.5f, 0.85f, true);
  const float drift = s.pose.range(0.0f, 60.0f);
  draw_object(f, p, 1.1f, [&](float u, float v) {
    Texel t;
    const float w = v / aspect;
    const float radius = boxy ? std::sqrt(std::sqrt(square(u * u) + square(w * w))) : length(u, w);
    t.distance = (radius - 1.0f) * aspect;
    const float mark =
        scored && !print.count ? smoothstep(0.05f, 0.02f, absf(u)) : print.depth(u, v);
    const float spot = speckle * smoothstep(0.5f, 0.75f, s.noise.at(u * 22.0f + drift, v * 22.0f));
    t.color = mix(body * (1.0f + 0.03f * s.noise.at(u * 40.0f, v * 40.0f)), fleck, spot);
    t.height = -dome * aspect * radius * radius * radius * radius * (0.4f + 0.6f * radius);
    if (engraved) t.height -= 0.025f * mark;
    t.color = mix(t.color, engraved ? t.color * 0.85f : ink, mark);
    t.gloss = gloss;
    return t;
  });
  cast_shadow(s, f);
}

void draw_capsule(Scene& s, Surface& f) {
  draw_background(s, f);
  const Color left = dyed(s.design), right = s.design.chance(0.8f) ? dyed(s.design) : left;
  const float half = s.design.range(0.22f, 0.4f), joint = s.design.range(-0.2f, 0.25f);
  const float gloss = s.design.range(0.3f, 1.0f);
  const Print print = make_print(s.design, 0.1f);
  const Color ink = s.design.chance(0.5f) ? Color{0.95f, 0.95f, 0.95f} : Color{0.1f, 0.1f, 0.1f};
  const Placement p = place(s, f, 0.65f, 0.95f, true);
  draw_object(f, p, 1.1f, [&](float u, float v) {
    Texel t;
    const bool cap = u > joint;
    const float h = cap ? half : half * 0.955f;
    const float d = segment_distance(u, v, -1.0f + half, 0, 1.0f - half, 0);
    t.distance = d - h;
    t.height = std::sqrt(maxf(0.0f, h * h - d * d)) * 0.8f;
    t.color = cap ? right : left;
    t.color = t.color * (1.0f + 0.04f * s.noise.at(u * 9.0f, v * 9.0f));
    t.color = mix(t.color, t.color * 0.6f, smoothstep(0.02f, 0.008f, absf(u - joint)));
    t.color = mix(t.color, ink, 0.9f * print.depth(u + (cap ? -0.45f : 0.45f), v));
    t.gloss = gloss;
    return t;
  });
  cast_shadow(s, f);
}

void draw_button(Scene& s, Surface& f) {
  draw_background(s, f);
  const Color body = dyed(s.design);
  const int holes = s.design.chance(0.6f) ? 4 : 2;
  const float rim = s.design.range(0.12f, 0.3f), hole = s.design.range(0.07f, 0.12f);
  const float ring = s.design.range(0.2f, 0.32f), pearl = s.design.range(0.0f, 0.3f);
  const float gloss = s.design.range(0.1f, 0.8f);
  const Placement p = place(s, f, 0.5f, 0.9f, true);
  const Fault& fault = s.fault;
  const int bad =
      fault.active ? static_cast<int>(fault.a * static_cast<float>(holes) * 0.999f) : -1;
  const auto hole_distance = [&](float u, float v) {
    float nearest = 9;
    for (int k = 0; k < holes; ++k) {
      if (k == bad && fault.variant == 0) continue;
      const float turn = static_cast<float>(k) / static_cast<float>(holes);
      const float out = ring * (k == bad ? 1.25f + 0.6f * fault.strength : 1.0f);
      nearest = minf(nearest, length(u - out * cos_turn(turn), v - out * sin_turn(turn)) - hole);
    }
    return nearest;
  };
  draw_object(f, p, 1.1f, [&](float u, float v) {
    Texel t;
    const float radius = length(u, v), inner = hole_distance(u, v);
    t.distance = maxf(radius - 1.0f, -inner);
    const float dish = smoothstep(1.0f - rim * 1.4f, 1.0f - rim * 0.7f, radius);
    t.height = 0.12f * dish * (1.0f - square(maxf(0.0f, radius - 1.0f + 0.5f * rim) / rim));
    t.color = body * (0.92f + 0.1f * dish + pearl * s.noise.rough(u * 1.5f + 9.0f, v * 2.5f));
    t.color = t.color * (1.0f - 0.3f * smoothstep(0.04f, 0.0f, inner));
    t.gloss = gloss;
    return t;
  });
  cast_shadow(s, f);
}

void draw_coin(Scene& s, Surface& f) {
  draw_background(s, f);
  const Color body = metal(s.design), core = s.design.chance(0.25f) ? metal(s.design) : body;
  const int beads = 30 + s.design.below(50);
  const Print print = make_print(s.design, s.design.range(0.14f, 0.26f));
  const float wear = s.design.range(0.02f, 0.15f), relief = s.design.range(0.02f, 0.06f);
  const float motif = s.design.range(1.5f, 4.0f), seed = s.design.range(0.0f, 60.0f);
  const int symmetry = 3 + s.design.below(7);
  const Placement p = place(s, f, 0.55f, 0.92f, true);
  draw_object(f, p, 1.1f, [&](float u, float v) {
    Texel t;
    const float radius = length(u, v), turn = atan_turn(v, u);
    t.distance = radius - 1.0f;
    const float rim = smoothstep(0.9f, 0.93f, radius);
    const float bead = smoothstep(0.8f, 0.83f, radius) * smoothstep(0.9f, 0.87f, radius) *
                       (0.5f + 0.5f * cos_turn(turn * static_cast<float>(beads)));
    const float petal =
        s.noise.at(radius * motif + seed, 2.0f + cos_turn(turn * static_cast<float>(symmetry)));
    const float figure = smoothstep(0.05f, 0.15f, petal) * smoothstep(0.76f, 0.7f, radius);
    const float mark = maxf(print.depth(u, v), print.count ? 0.0f : figure);
    const float grain = s.noise.rough(u * 14.0f, v * 14.0f);
    t.color = (radius < 0.62f ? core : body) * (0.9f + 0.1f * maxf(rim, mark) + wear * grain);
    t.height = relief * (maxf(maxf(rim, bead), mark) + 0.12f * grain) -
               (radius > 0.97f ? radius - 0.97f : 0.0f);
    t.gloss = 0.5f + 0.2f * grain;
    return t;
  });
  cast_shadow(s, f);
}

void draw_bottle(Scene& s, Surface& f) {
  draw_background(s, f);
  const Color glass = s.design.chance(0.6f)
                          ? hsv(s.design.range(0.03f, 0.4f), s.design.range(0.2f, 0.8f),
                                s.design.range(0.08f, 0.4f))
                          : dyed(s.design);
  const float mouth = s.design.range(0.5f, 0.8f), wall = s.design.range(0.05f, 0.14f);
  const float inside = s.design.range(0.02f, 0.6f);
  const int rings = 1 + s.design.below(4);
  const bool ribs = s.design.chance(0.3f);
  const Placement p = place(s, f, 0.75f, 0.98f, true);
  draw_object(f, p, 1.05f, [&](float u, float v) {
    Texel t;
    const float radius = length(u, v), turn = atan_turn(v, u);
    t.distance = radius - 1.0f;
    const float glow = 0.5f + 0.5f * s.noise.at(turn * 2.0f + 40.0f, radius * 1.5f);
    if (radius < mouth - wall) {
      t.color = glass * (inside * (0.4f + 0.9f * glow * smoothstep(0.2f, mouth, radius)));
      t.height = -0.1f + 0.1f * radius;
      t.gloss = 0.1f;
      return t;
    }
    const float lip = absf(radius - mouth + 0.5f * wall) / (0.5f * wall);
    const float shoulder = (radius - mouth) / (1.0f - mouth);
    const bool on_lip = radius < mouth;
    const float wave = sin_turn(shoulder * static_cast<float>(rings)) +
                       (ribs ? 0.5f * sin_turn(turn * 40.0f) : 0.0f);
    t.color = glass * (on_lip ? 1.5f - 0.5f * lip : 0.7f + 0.25f * wave + 0.3f * glow);
    t.height = on_lip ? 0.12f * (1.0f - lip * lip) : -0.35f * shoulder * shoulder + 0.02f * wave;
    t.gloss = 0.8f;
    return t;
  });
  cast_shadow(s, f);
}

}  // namespace acd::datagen
