// Wood, leather, paper, foam, soft tissue.
#include "datagen/texture_frame.h"

namespace acd::datagen {
namespace {

// Distance to the nearest and second nearest of one jittered point per cell.
struct Cells {
  float first, second;
  int id;
};
Cells nearest_cells(const Noise& noise, float u, float v, float jitter) {
  const int iu = ifloor(u), iv = ifloor(v);
  Cells c{9.0f, 9.0f, 0};
  for (int dv = -1; dv <= 1; ++dv) {
    for (int du = -1; du <= 1; ++du) {
      const int cu = iu + du, cv = iv + dv;
      const float x = static_cast<float>(cu) + 0.5f + jitter * noise.cell(cu, cv) - u;
      const float y = static_cast<float>(cv) + 0.5f + jitter * noise.cell(cu + 91, cv + 37) - v;
      const float d = x * x + y * y;
      if (d < c.first) {
        c.second = c.first, c.first = d, c.id = cu * 7 + cv * 13;
      } else {
        c.second = minf(c.second, d);
      }
    }
  }
  c.first = std::sqrt(c.first), c.second = std::sqrt(c.second);
  return c;
}

}  // namespace

void draw_wood(Scene& s, Surface& f) {
  const Color light = brown(s.design);
  const Color dark = light * s.design.range(0.4f, 0.8f);
  const float ring = s.design.range(10.0f, 45.0f) * s.px, stretch = s.design.range(5.0f, 18.0f);
  const float sharp = s.design.range(0.2f, 0.9f), pores = s.design.range(0.0f, 0.3f);
  const float plank = s.design.chance(0.3f) ? s.design.range(40.0f, 110.0f) * s.px : 0.0f;
  f.grain = texture_angle(s);
  const Frame frame = make_frame(s.pose, f.grain, ring);
  const float wander = s.pose.range(0.5f, 2.2f);
  for (int y = 0; y < f.size; ++y) {
    for (int x = 0; x < f.size; ++x) {
      const float px = static_cast<float>(x), py = static_cast<float>(y);
      const float u = frame.u(px, py);
      float v = frame.v(px, py);
      float joint = 0;
      if (plank > 0) {
        const float board = v * ring / plank;
        const int id = ifloor(board);
        joint = smoothstep(0.03f, 0.0f, minf(fract(board), 1.0f - fract(board)));
        v += 9.7f * s.noise.cell(id, 5);
      }
      const float rings = v + wander * s.noise.at(u / stretch, v * 0.5f) +
                          0.3f * s.noise.at(u * 3.0f / stretch, v * 1.7f);
      const float saw = fract(rings);
      const float late = lerp(0.5f + 0.5f * sin_turn(rings),
                              saw * saw * (1.0f - smoothstep(0.9f, 1.0f, saw)), sharp);
      const float fibre = s.noise.at(u * 1.6f / stretch * 6.0f, v * ring * 0.55f / s.px);
      const float pore =
          pores * smoothstep(0.45f, 0.8f, s.noise.at(u * 12.0f / stretch, v * ring * 0.9f / s.px));
      const size_t i = f.at(x, y);
      const float t = clamp01(0.75f * late + 0.18f * fibre + pore);
      f.set(i, mix(light, dark, t) * (1.0f - 0.7f * joint));
      f.height[i] = (-0.35f * pore - 0.12f * late + 0.08f * fibre) * s.px - 1.5f * joint * s.px;
    }
  }
  finish_texture(f, s.design.range(0.0f, 0.2f), dark * 0.3f);
}

void draw_leather(Scene& s, Surface& f) {
  const Color base = s.design.chance(0.7f) ? brown(s.design) : dyed(s.design);
  const float cell = maxf(3.0f, s.design.range(4.0f, 14.0f) * s.px);
  const float relief = s.design.range(0.06f, 0.2f) * cell, crease = s.design.range(0.1f, 0.5f);
  f.grain = s.pose.uniform();
  const Frame frame = make_frame(s.pose, f.grain, cell);
  const float squeeze = s.design.range(0.6f, 1.0f);
  for (int y = 0; y < f.size; ++y) {
    for (int x = 0; x < f.size; ++x) {
      const float px = static_cast<float>(x), py = static_cast<float>(y);
      float u = frame.u(px, py), v = frame.v(px, py) * squeeze;
      u += 0.5f * s.noise.at(u * 0.37f, v * 0.37f);
      const Cells c = nearest_cells(s.noise, u, v, 0.42f);
      const float groove = smoothstep(0.32f, 0.0f, c.second - c.first);
      const float tone = s.noise.at(u * 0.06f, v * 0.06f);
      const float fold = smoothstep(0.12f, 0.0f, absf(s.noise.at(u * 0.11f + 50.0f, v * 0.05f)));
      const size_t i = f.at(x, y);
      f.set(i, base * ((1.0f - 0.28f * groove) * (1.0f + 0.1f * tone) *
                       (1.0f - 0.15f * crease * fold)));
      f.height[i] = relief * (1.0f - groove - 0.5f * c.first) - crease * fold * relief;
    }
  }
  finish_texture(f, s.design.range(0.05f, 0.35f), base * 0.4f);
}

void draw_paper(Scene& s, Surface& f) {
  const Color base = s.design.chance(0.65f)
                         ? mix(grey(s.design, 0.7f, 0.95f), brown(s.design), 0.2f)
                         : dyed(s.design);
  const float fibre = s.design.range(0.005f, 0.06f), relief = s.design.range(0.05f, 0.6f) * s.px;
  Plane tone(f.count(), 0.5f);
  const float shift = s.pose.range(0.0f, 6.0f);
  s.noise.add_octaves(tone, f.size, 5.0f * s.px, 3, 4.0f * fibre, 0.8f, shift);
  s.noise.add(tone, f.size, 14.0f * s.px, 1.5f * s.px, 3.0f * fibre, shift + 0.7f);
  s.noise.add(tone, f.size, 90.0f * s.px, 80.0f * s.px, 0.15f, shift + 0.9f);
  tint(f, tone, base * 0.75f, base * 1.1f);
  s.noise.add_octaves(f.height, f.size, 8.0f * s.px, 3, relief, 0.5f, shift + 0.31f);
  if (s.design.chance(0.3f))  // corrugated or laid
    for (int y = 0; y < f.size; ++y)
      for (int x = 0; x < f.size; ++x)
        f.height[f.at(x, y)] += 0.5f * s.px * sin_turn(static_cast<float>(y) / (7.0f * s.px));
  finish_texture(f, 0.02f, base * 0.5f);
}

void draw_foam(Scene& s, Surface& f) {
  const Color base = dyed(s.design);
  const float cell = maxf(3.0f, s.design.range(5.0f, 22.0f) * s.px);
  const bool open = s.design.chance(0.5f);
  const float relief = s.design.range(0.08f, 0.25f) * cell;
  const Frame frame = make_frame(s.pose, s.pose.uniform(), cell);
  for (int y = 0; y < f.size; ++y) {
    for (int x = 0; x < f.size; ++x) {
      const float px = static_cast<float>(x), py = static_cast<float>(y);
      const float u = frame.u(px, py), v = frame.v(px, py);
      const Cells c = nearest_cells(s.noise, u, v, 0.46f);
      const float size = 0.3f + 0.16f * s.noise.cell(c.id, 11);
      const float pit = open ? smoothstep(0.3f, 0.0f, c.first - size * 0.6f)
                             : -smoothstep(0.3f, 0.0f, c.second - c.first);
      const float grain = s.noise.at(u * cell * 0.4f, v * cell * 0.4f);
      const size_t i = f.at(x, y);
      f.set(i, base * ((open ? 1.0f - 0.4f * pit : 1.0f + 0.12f * pit) * (1.0f + 0.05f * grain)));
      f.height[i] =
          (open ? -relief * pit : relief * (1.0f - c.first * c.first * 1.6f)) + 0.1f * grain * s.px;
    }
  }
  finish_texture(f, s.design.range(0.0f, 0.08f), base * 0.35f);
}

// Wet, folded, vessel-lined: what an endoscope or an open wound shows.
void draw_soft_tissue(Scene& s, Surface& f) {
  const float hue = s.design.range(-0.03f, 0.07f), saturation = s.design.range(0.35f, 0.7f);
  const Color base = hsv(hue, saturation, s.design.range(0.6f, 0.95f));
  const Color deep = hsv(hue - 0.015f, minf(1.0f, saturation + 0.2f), s.design.range(0.3f, 0.5f));
  const float fold = s.design.range(30.0f, 80.0f) * s.px, vessels = s.design.range(0.0f, 0.5f);
  const float n = static_cast<float>(f.size);
  const float relief = s.pose.range(0.06f, 0.22f) * fold;
  const float ox = s.pose.range(0.0f, 90.0f), oy = s.pose.range(0.0f, 90.0f);
  const float cx = s.pose.range(-0.2f, 1.2f) * n, cy = s.pose.range(-0.2f, 1.2f) * n;
  const bool lumen = s.pose.chance(0.45f);
  const float depth = s.pose.range(0.2f, 0.45f) * n, wet = s.pose.range(0.15f, 1.0f);
  for (int y = 0; y < f.size; ++y) {
    for (int x = 0; x < f.size; ++x) {
      const float px = static_cast<float>(x), py = static_cast<float>(y);
      const float u = px / fold + ox, v = py / fold + oy;
      const float bend = s.noise.at(u * 0.5f, v * 0.5f);
      const float d = length(px - cx, py - cy);
      // Folds run in rings around the far end.
      const float ring = sin_turn(d / (2.6f * fold) + 0.5f * bend + ox);
      const float soft = s.noise.at(u + bend, v - bend);
      const float fine = s.noise.rough(u * 7.0f, v * 7.0f);
      const float line = absf(s.noise.at(u * 1.9f + 0.6f * bend, v * 1.9f + 33.0f));
      const float vessel = vessels * smoothstep(0.07f, 0.0f, line);
      const float far = lumen ? smoothstep(depth, 0.25f * depth, d) : 0.0f;
      const size_t i = f.at(x, y);
      const Color c = mix(base, deep, clamp01(0.2f + 0.2f * soft - 0.15f * ring + 0.6f * vessel));
      f.set(i, c * ((1.0f + 0.05f * fine) * (1.0f - 0.88f * far)));
      f.height[i] = relief * (0.6f * soft + 0.5f * ring) + 0.5f * s.px * fine;
      f.gloss[i] = wet * (1.0f - far);
    }
  }
  fill(f.cover, 1.0f);
  f.under = deep * 0.4f;
}

}  // namespace acd::datagen
