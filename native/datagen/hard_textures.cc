// Tile, marble, concrete, paint, brushed and rolled metal; and photographs of whatever else.
#include "datagen/texture_frame.h"

namespace acd::datagen {

void draw_ceramic_tile(Scene& s, Surface& f) {
  const Color base = s.design.chance(0.6f) ? grey(s.design, 0.35f, 0.9f) : dyed(s.design);
  const Color specks[3] = {grey(s.design, 0.05f, 0.4f), dyed(s.design), base * 0.6f};
  const float grain = s.design.range(2.0f, 7.0f) * s.px, density = s.design.range(0.15f, 0.55f);
  const float tile = s.design.chance(0.4f) ? s.design.range(50.0f, 160.0f) * s.px : 0.0f;
  const Color grout = grey(s.design, 0.25f, 0.8f);
  Plane a(f.count()), b(f.count()), c(f.count());
  const float shift = s.pose.range(0.0f, 6.0f);
  s.noise.add_octaves(a, f.size, grain, 2, 0.8f, 0.6f, shift);
  s.noise.add_octaves(b, f.size, grain * 0.7f, 2, 0.8f, 0.6f, shift + 2.1f);
  s.noise.add_octaves(c, f.size, grain * 1.9f, 2, 0.8f, 0.6f, shift + 4.4f);
  f.grain = texture_angle(s);
  const Frame frame = make_frame(s.pose, f.grain, maxf(tile, 8.0f));
  for (int y = 0; y < f.size; ++y) {
    for (int x = 0; x < f.size; ++x) {
      const size_t i = f.at(x, y);
      const float edge = 0.75f - density;
      Color k = base;
      k = mix(k, specks[2], 0.6f * smoothstep(edge, edge + 0.12f, c[i]));
      k = mix(k, specks[1], 0.7f * smoothstep(edge, edge + 0.12f, b[i]));
      k = mix(k, specks[0], 0.8f * smoothstep(edge, edge + 0.12f, a[i]));
      if (tile > 0) {
        const float u = frame.u(static_cast<float>(x), static_cast<float>(y));
        const float v = frame.v(static_cast<float>(x), static_cast<float>(y));
        const float joint = (0.5f - maxf(absf(fract(u) - 0.5f), absf(fract(v) - 0.5f))) * tile;
        const float on = smoothstep(3.2f * s.px, 2.0f * s.px, joint);
        k = mix(k * (1.0f + 0.06f * s.noise.cell(ifloor(u), ifloor(v))), grout, on);
        f.height[i] = -2.0f * s.px * on;
      }
      f.set(i, k);
    }
  }
  finish_texture(f, s.design.range(0.05f, 0.5f), base * 0.4f);
}

void draw_marble(Scene& s, Surface& f) {
  const Color base = s.design.chance(0.6f) ? grey(s.design, 0.6f, 0.95f) : dyed(s.design);
  const Color vein = s.design.chance(0.5f) ? base * 0.45f : dyed(s.design);
  const float scale = s.design.range(35.0f, 90.0f) * s.px, turbulence = s.design.range(0.6f, 1.6f);
  const float width = s.design.range(0.05f, 0.25f);
  const Frame frame = make_frame(s.pose, s.pose.uniform(), scale);
  for (int y = 0; y < f.size; ++y) {
    for (int x = 0; x < f.size; ++x) {
      const float u = frame.u(static_cast<float>(x), static_cast<float>(y));
      const float v = frame.v(static_cast<float>(x), static_cast<float>(y));
      const float n = s.noise.rough(u * 1.2f, v * 0.8f);
      const float cloud = s.noise.at(u * 0.7f + 30.0f, v * 0.7f + turbulence * n);
      const float line = absf(s.noise.at(u * 0.6f + turbulence * n, v * 0.35f + 60.0f));
      const float t =
          0.75f * smoothstep(width, 0.0f, line) * (0.5f + 0.5f * n) + 0.18f * (1.0f + cloud);
      f.set(f.at(x, y), mix(base, vein, clamp01(t)));
    }
  }
  finish_texture(f, s.design.range(0.1f, 0.6f), base * 0.5f);
}

void draw_concrete(Scene& s, Surface& f) {
  const Color base = mix(grey(s.design, 0.35f, 0.75f), brown(s.design), s.design.range(0.0f, 0.3f));
  const float rough = s.design.range(0.1f, 0.5f), relief = s.design.range(0.2f, 1.2f) * s.px;
  const float pits = s.design.range(0.0f, 1.0f);
  Plane tone(f.count(), 0.5f), pore(f.count());
  const float shift = s.pose.range(0.0f, 6.0f);
  s.noise.add_octaves(tone, f.size, 64.0f * s.px, 6, 0.7f * rough, 0.75f, shift);
  s.noise.add_octaves(f.height, f.size, 12.0f * s.px, 4, relief, 0.6f, shift + 1.3f);
  s.noise.add(pore, f.size, 4.0f * s.px, 4.0f * s.px, 1.0f, shift + 3.7f);
  tint(f, tone, base * 0.7f, base * 1.2f);
  for (size_t i = 0; i < f.count(); ++i) {
    const float deep = pits * smoothstep(0.72f, 0.9f, pore[i]);
    f.height[i] -= 1.2f * s.px * deep;
    f.set(i, f.color(i) * (1.0f - 0.4f * deep));
  }
  finish_texture(f, 0.01f, base * 0.35f);
}

void draw_painted_surface(Scene& s, Surface& f) {
  const Color base = dyed(s.design);
  const int finish = s.design.below(3);  // smooth, orange peel, rolled plaster
  const float relief = (finish == 0   ? 0.05f
                        : finish == 1 ? 0.5f
                                      : 1.6f) *
                       s.design.range(0.5f, 1.3f) * s.px;
  const float cell = (finish == 2 ? 16.0f : 7.0f) * s.px;
  const float flakes = s.design.chance(0.3f) ? s.design.range(0.03f, 0.12f) : 0.0f;
  Plane tone(f.count(), 0.5f);
  const float shift = s.pose.range(0.0f, 6.0f);
  s.noise.add(tone, f.size, 80.0f * s.px, 60.0f * s.px, 0.2f, shift);
  if (flakes > 0) s.noise.add(tone, f.size, 1.3f, 1.3f, flakes * 4.0f, shift + 0.9f);
  tint(f, tone, base * 0.85f, base * 1.08f);
  s.noise.add_octaves(f.height, f.size, cell, 3, relief, 0.45f, shift + 1.9f);
  finish_texture(f, s.design.range(0.02f, 0.6f),
                 s.design.chance(0.5f) ? grey(s.design, 0.3f, 0.8f) : brown(s.design));
}

// Streaks along x or y; a turned direction would cost a general look-up for nothing new.
void draw_brushed_metal(Scene& s, Surface& f) {
  const Color base = metal(s.design);
  const bool upright = s.design.chance(0.5f);
  const float longest = s.design.range(40.0f, 260.0f) * s.px,
              contrast = s.design.range(0.08f, 0.4f);
  const auto streak = [&](Plane& p, float length, float width, float amplitude, float shift) {
    s.noise.add(p, f.size, upright ? width : length, upright ? length : width, amplitude, shift);
  };
  Plane tone(f.count(), 0.5f);
  const float shift = s.pose.range(0.0f, 6.0f);
  streak(tone, longest, 1.2f, contrast, shift);
  streak(tone, longest * 0.5f, 2.5f * s.px, contrast, shift + 0.4f);
  streak(tone, longest * 2.0f, 9.0f * s.px, 0.8f * contrast, shift + 0.8f);
  s.noise.add(tone, f.size, 70.0f * s.px, 70.0f * s.px, 0.15f, shift + 1.2f);
  tint(f, tone, base * 0.65f, base * 1.25f);
  streak(f.height, longest * 0.4f, 1.4f, 0.25f, shift + 2.2f);
  f.grain = upright ? 0.25f : 0.0f;
  finish_texture(f, s.design.range(0.1f, 0.5f), base * 0.3f);
}

// Rolled, cast or ground plate seen by a grey line camera: bands of light, a dark surround where
// the plate ends.
void draw_metal_plate(Scene& s, Surface& f) {
  const Color base = grey(s.design, 0.2f, 0.6f);
  const bool upright = s.design.chance(0.6f);
  const float mottle = s.design.range(0.05f, 0.35f), lines = s.design.range(0.0f, 0.3f);
  Plane tone(f.count(), 0.5f);
  const float shift = s.pose.range(0.0f, 6.0f), far = 300.0f * s.px;
  const auto streak = [&](float width, float amplitude, float at) {
    s.noise.add(tone, f.size, upright ? width : far, upright ? far : width, amplitude, shift + at);
  };
  streak(1.5f * s.px, lines, 0.3f);
  streak(12.0f * s.px, 0.7f * lines, 0.6f);
  streak(60.0f * s.px, 0.5f * mottle, 0.9f);
  s.noise.add_octaves(tone, f.size, 40.0f * s.px, 5, 0.6f * mottle, 0.7f, shift + 1.5f);
  tint(f, tone, base * 0.5f, base * 1.5f);
  s.noise.add_octaves(f.height, f.size, 5.0f * s.px, 3, 0.25f * s.px, 0.7f, shift + 2.5f);
  finish_texture(f, s.design.range(0.05f, 0.3f), {0.03f, 0.03f, 0.03f});
  const float n = static_cast<float>(f.size);
  const int side = s.pose.chance(0.45f) ? s.pose.below(4) : -1;
  const float margin = s.pose.range(0.02f, 0.12f) * n, tilt = s.pose.range(-0.05f, 0.05f);
  for (int y = 0; side >= 0 && y < f.size; ++y) {
    for (int x = 0; x < f.size; ++x) {
      const float along = static_cast<float>(side & 1 ? y : x),
                  p = static_cast<float>(side & 1 ? x : y);
      const float in =
          (side & 2 ? n - p : p) - margin - tilt * along - 0.8f * s.noise.at(along * 0.2f, 3.0f);
      const size_t i = f.at(x, y);
      f.cover[i] = clamp01(in + 0.5f);
      f.blend(i, f.under, 1.0f - f.cover[i]);
      f.height[i] -= 2.0f * smoothstep(6.0f * s.px, 0.0f, in);
      f.gloss[i] *= f.cover[i];
    }
  }
}

void draw_photograph(Scene& s, Surface& f) {
  Color mean;
  for (size_t i = 0; i < f.count(); ++i) {
    const uint8_t* p = s.photograph + 3 * i;
    const Color c =
        Color{static_cast<float>(p[0]), static_cast<float>(p[1]), static_cast<float>(p[2])} *
        (1.0f / 255.0f);
    f.set(i, c);
    mean = mean + c * (1.0f / static_cast<float>(f.count()));
  }
  f.grain = texture_angle(s);
  finish_texture(f, s.design.range(0.0f, 0.25f), mean * 0.4f);
}

}  // namespace acd::datagen
