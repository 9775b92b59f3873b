#include "datagen/object.h"

namespace acd::datagen {
namespace {

void box_blur_rows(const Plane& in, Plane& out, int n, int radius) {
  const float scale = 1.0f / static_cast<float>(2 * radius + 1);
  for (int y = 0; y < n; ++y) {
    const float* row = &in[static_cast<size_t>(y) * static_cast<size_t>(n)];
    const auto clamped = [&](int x) { return row[x < 0 ? 0 : x >= n ? n - 1 : x]; };
    float sum = 0;
    for (int x = -radius; x <= radius; ++x) sum += clamped(x);
    for (int x = 0; x < n; ++x) {
      // Transposed, so that a second call blurs the other direction.
      out[static_cast<size_t>(x) * static_cast<size_t>(n) + static_cast<size_t>(y)] = sum * scale;
      sum += clamped(x + radius + 1) - clamped(x - radius);
    }
  }
}

}  // namespace

void draw_background(Scene& s, Surface& f) {
  const int kind = s.design.below(5);
  const Color base = kind == 0   ? grey(s.design, 0.0f, 0.15f)
                     : kind == 1 ? grey(s.design, 0.75f, 1.0f)
                     : kind == 2 ? grey(s.design, 0.2f, 0.7f)
                                 : dyed(s.design);
  const float rough =
      s.design.chance(0.5f) ? s.design.range(0.0f, 0.05f) : s.design.range(0.05f, 0.3f);
  const float cell = s.design.range(2.0f, 30.0f) * s.px;
  const bool striped = s.design.chance(0.15f);
  Plane tone(f.count(), 0.5f);
  const float shift = s.pose.range(0.0f, 6.0f);
  s.noise.add_octaves(tone, f.size, cell, 3, rough, 0.7f, shift + 0.1f);
  if (striped) s.noise.add(tone, f.size, 200.0f * s.px, 3.0f * s.px, 0.15f, shift + 0.6f);
  s.noise.add(tone, f.size, 150.0f * s.px, 120.0f * s.px, 0.08f, shift + 0.9f);
  tint(f, tone, base * 0.8f, base * 1.2f + Color{0.02f, 0.02f, 0.02f});
  s.noise.add(f.height, f.size, maxf(cell, 2.0f), maxf(cell, 2.0f), rough * s.px, shift + 2.0f);
  // Dust beside the object is no defect.
  const int specks = s.pose.chance(0.3f) ? 1 + s.pose.below(4) : 0;
  for (int k = 0; k < specks; ++k) {
    const int x = s.pose.below(f.size), y = s.pose.below(f.size);
    const Color c = grey(s.pose, 0.1f, 1.0f);
    const int extent = s.pose.below(static_cast<int>(s.px) + 1);
    for (int dy = 0; dy <= extent && y + dy < f.size; ++dy)
      for (int dx = 0; dx <= extent && x + dx < f.size; ++dx)
        f.blend(f.at(x + dx, y + dy), c, 0.7f);
  }
  f.behind_r = f.r, f.behind_g = f.g, f.behind_b = f.b;
  f.under = base;
}

void cast_shadow(Scene& s, Surface& f) {
  const float strength = s.pose.chance(0.25f) ? 0.0f : s.pose.range(0.1f, 0.65f);
  const float angle = s.pose.uniform(), reach = s.pose.range(1.0f, 12.0f) * s.px;
  const int dx = static_cast<int>(reach * cos_turn(angle)),
            dy = static_cast<int>(reach * sin_turn(angle));
  const int radius = 1 + static_cast<int>(s.pose.range(1.0f, 7.0f) * s.px);
  if (strength == 0) return;
  Plane once(f.count()), blurred(f.count());
  box_blur_rows(f.cover, once, f.size, radius);
  box_blur_rows(once, blurred, f.size, radius);
  for (int y = 0; y < f.size; ++y) {
    for (int x = 0; x < f.size; ++x) {
      const int sx = x - dx, sy = y - dy;
      if (sx < 0 || sy < 0 || sx >= f.size || sy >= f.size) continue;
      const size_t i = f.at(x, y);
      f.set(i, f.color(i) * (1.0f - strength * blurred[f.at(sx, sy)] * (1.0f - f.cover[i])));
    }
  }
}

Placement place(Scene& s, const Surface& f, float smallest, float largest, bool any_angle) {
  const float n = static_cast<float>(f.size);
  const float designed = s.design.range(smallest, largest);
  const float angle =
      any_angle ? s.pose.uniform()
                : 0.25f * static_cast<float>(s.design.below(4)) + s.pose.range(-0.03f, 0.03f);
  const float scale = 0.5f * n * designed * s.pose.range(0.94f, 1.06f);
  const float room = maxf(0.02f * n, 0.5f * n - scale);
  const float cx = 0.5f * n + room * 0.6f * s.pose.range(-1.0f, 1.0f);
  const float cy = 0.5f * n + room * 0.6f * s.pose.range(-1.0f, 1.0f);
  return {cx, cy, cos_turn(angle), sin_turn(angle), scale};
}

float glyph_distance(int code, float u, float v) {
  // One bit per stroke: top, middle, bottom, then the four uprights, a diagonal.
  static constexpr float kStrokes[8][4] = {{0, 0, 1, 0}, {0, 1, 1, 1}, {0, 2, 1, 2}, {0, 0, 0, 1},
                                           {1, 0, 1, 1}, {0, 1, 0, 2}, {1, 1, 1, 2}, {0, 1, 1, 2}};
  float nearest = 9;
  for (int k = 0; k < 8; ++k)
    if (code >> k & 1)
      nearest = minf(nearest, segment_distance(u, v, kStrokes[k][0], kStrokes[k][1], kStrokes[k][2],
                                               kStrokes[k][3]));
  return nearest;
}

}  // namespace acd::datagen
