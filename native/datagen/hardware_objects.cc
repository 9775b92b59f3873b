// Metal nut, washer, gear, screw.
#include "datagen/object.h"

namespace acd::datagen {
namespace {

// Machined metal: streaks along u or around the centre, blotches.
Color machined(const Noise& noise, Color base, float along, float across, float wear) {
  const float streak = noise.at(along * 2.0f + 11.0f, across * 45.0f);
  return base * (1.0f + wear * (0.6f * streak + 0.5f * noise.rough(along * 4.0f, across * 4.0f)));
}

}  // namespace

void draw_metal_nut(Scene& s, Surface& f) {
  draw_background(s, f);
  const Color base = metal(s.design);
  const bool hexagon = s.design.chance(0.5f);
  const int sides = hexagon ? 6 : 3 + s.design.below(4);
  const float hole = s.design.range(0.28f, 0.5f), wear = s.design.range(0.05f, 0.25f);
  const float notch = s.design.range(0.1f, 0.2f), threads = s.design.range(4.0f, 9.0f);
  const Placement p = place(s, f, 0.6f, 0.92f, true);
  const float drift = s.pose.range(0.0f, 50.0f);
  const Fault& fault = s.fault;
  const int bad =
      fault.active ? static_cast<int>(fault.a * static_cast<float>(sides) * 0.999f) : -1;
  const auto outline = [&](float u, float v) {
    const float radius = length(u, v);
    const float turn = fract(atan_turn(v, u) + 1.0f) * static_cast<float>(sides);
    const int side = ifloor(turn);
    const float off = turn - static_cast<float>(side) - 0.5f;
    float wide = radius * cos_turn(off / static_cast<float>(sides)) - 0.93f;
    if (!hexagon) wide = radius - 1.0f + notch * smoothstep(0.14f, 0.08f, absf(off));
    if (side == bad) {
      const float bite = (0.12f + 0.25f * fault.strength) * smoothstep(0.4f, 0.25f, absf(off));
      if (fault.variant == 0) wide += bite;
      if (fault.variant == 1) wide += 0.45f * bite * (0.5f - off * 2.0f);
    }
    return wide;
  };
  draw_object(f, p, 1.2f, [&](float u, float v) {
    Texel t;
    const float radius = length(u, v), d = outline(u, v);
    t.distance = maxf(d, hole - radius);
    t.color = machined(s.noise, base, atan_turn(v, u) * 3.0f + drift, radius, wear);
    const float thread = smoothstep(hole + 0.1f, hole + 0.06f, radius);
    t.color =
        t.color * (1.0f - thread * (0.35f + 0.3f * sin_turn((radius - hole) * threads * 10.0f)));
    t.height = -0.06f * square(clamp01(1.0f + d / 0.12f)) - 0.08f * thread;
    t.gloss = 0.5f;
    return t;
  });
  cast_shadow(s, f);
}

void draw_washer(Scene& s, Surface& f) {
  draw_background(s, f);
  const bool rubber = s.design.chance(0.3f);
  const Color base = rubber ? dyed(s.design) : metal(s.design);
  const float hole = s.design.range(0.3f, 0.72f), wear = s.design.range(0.03f, 0.2f);
  const bool domed = s.design.chance(0.4f), split = s.design.chance(0.2f);
  const Placement p = place(s, f, 0.5f, 0.92f, true);
  const float drift = s.pose.range(0.0f, 50.0f);
  draw_object(f, p, 1.1f, [&](float u, float v) {
    Texel t;
    const float radius = length(u, v),
                mid = (radius - 0.5f * (1.0f + hole)) / (0.5f * (1.0f - hole));
    t.distance = maxf(radius - 1.0f, hole - radius);
    if (split && u > 0) t.distance = maxf(t.distance, 0.05f - absf(v + 0.2f * (radius - 0.8f)));
    t.color = machined(s.noise, base, atan_turn(v, u) * 3.0f + drift, radius, wear);
    t.height = domed ? -0.3f * (1.0f - hole) * mid * mid : -0.04f * square(square(mid * mid));
    t.gloss = rubber ? 0.1f : 0.5f;
    return t;
  });
  cast_shadow(s, f);
}

void draw_gear(Scene& s, Surface& f) {
  draw_background(s, f);
  const Color base = s.design.chance(0.75f) ? metal(s.design) : dyed(s.design);
  const int teeth = 9 + s.design.below(28),
            spokes = s.design.chance(0.6f) ? 3 + s.design.below(4) : 0;
  const float root = s.design.range(0.78f, 0.9f), bore = s.design.range(0.1f, 0.28f);
  const float wear = s.design.range(0.03f, 0.2f);
  const Placement p = place(s, f, 0.6f, 0.95f, true);
  const Fault& fault = s.fault;
  const int bad =
      fault.active ? static_cast<int>(fault.a * static_cast<float>(teeth) * 0.999f) : -9;
  const int lost = fault.active && fault.strength > 0.7f ? 2 : 1;
  draw_object(f, p, 1.15f, [&](float u, float v) {
    Texel t;
    const float radius = length(u, v), turn = fract(atan_turn(v, u) + 1.0f);
    const float w = turn * static_cast<float>(teeth);
    const int tooth = ifloor(w);
    const bool hit = tooth >= bad && tooth < bad + lost;
    float off = w - static_cast<float>(tooth) - 0.5f;
    if (hit && fault.variant == 1) off += (radius - root) * (1.5f + 2.0f * fault.strength);
    const float flank = (absf(off) - 0.25f - 0.9f * (0.94f - radius)) * radius * 6.2832f /
                        static_cast<float>(teeth);
    float d =
        radius < root || (hit && fault.variant == 0) ? radius - root : maxf(radius - 1.0f, flank);
    d = maxf(d, bore - radius);
    if (spokes) {
      const float arm = fract(turn * static_cast<float>(spokes)) - 0.5f;
      d = maxf(d, 0.16f - length(arm * radius * 6.2832f / static_cast<float>(spokes),
                                 radius - 0.5f * (root + bore)));
    }
    t.distance = d;
    t.color = machined(s.noise, base, turn * 4.0f, radius, wear);
    const float hub = smoothstep(bore + 0.16f, bore + 0.13f, radius);
    t.height = 0.07f * hub + 0.05f * smoothstep(root - 0.14f, root - 0.11f, radius) -
               0.03f * square(clamp01(1.0f + d / 0.04f));
    t.gloss = 0.4f;
    return t;
  });
  cast_shadow(s, f);
}

void draw_screw(Scene& s, Surface& f) {
  draw_background(s, f);
  const Color base = metal(s.design);
  const float head = s.design.range(0.2f, 0.36f), shaft = s.design.range(0.09f, 0.18f);
  const float pitch = s.design.range(0.06f, 0.14f), neck = s.design.range(-0.72f, -0.3f);
  const bool pointed = s.design.chance(0.6f), flat = s.design.chance(0.5f);
  const float wear = s.design.range(0.03f, 0.2f);
  const Placement p = place(s, f, 0.7f, 0.96f, true);
  const Fault& fault = s.fault;
  const float at = lerp(neck + 0.2f, 0.8f, fault.a);
  draw_object(f, p, 1.1f, [&](float u, float v) {
    if (fault.active && fault.variant == 1 && u > at - 0.3f)
      v += (0.15f + 0.45f * fault.strength) * square(u - at + 0.3f) *
           (fault.b < 0.5f ? -1.0f : 1.0f);
    Texel t;
    const float profile = -0.82f;
    float half = shaft;
    const bool threaded = u > neck;
    if (threaded) {
      const float wave = absf(fract((u + 0.35f * v) / pitch) - 0.5f) * 2.0f;
      const bool worn =
          fault.active && fault.variant == 0 && absf(u - at) < 0.06f + 0.16f * fault.strength;
      half += pitch * (worn ? 0.02f : 0.35f * wave);
      t.height = worn ? 0.0f : 0.2f * pitch * wave;
    }
    if (pointed) half *= clamp01((1.0f - u) / 0.35f);
    if (u < profile)
      half = flat ? head : head * std::sqrt(clamp01((u + 1.0f) / (profile + 1.0f)));
    else if (u < profile + 0.12f && flat)
      half = lerp(head, half, (u - profile) / 0.12f);
    t.distance = maxf(absf(v) - half, absf(u) - 1.0f);
    const float x = clamp01(absf(v) / maxf(half, 0.01f));
    t.height += half * 0.8f * std::sqrt(maxf(0.0f, 1.0f - x * x));
    t.color = machined(s.noise, base, v * 3.0f, u * 0.6f, wear) * (threaded ? 0.9f : 1.0f);
    t.gloss = 0.6f;
    return t;
  });
  cast_shadow(s, f);
}

}  // namespace acd::datagen
