#include "datagen/defects.h"

#include "datagen/palette.h"
#include "datagen/stamp.h"

namespace acd::datagen {
namespace {

Point on_thing(const Damage& d) {
  Point p{0, 0};
  for (int attempt = 0; attempt < 60; ++attempt) {
    const int x = d.rng.below(d.surface.size), y = d.rng.below(d.surface.size);
    p = {static_cast<float>(x), static_cast<float>(y)};
    if (d.surface.cover[d.surface.at(x, y)] > 0.9f) break;
  }
  return p;
}

// A point of the outline, found by walking off the thing; for textures any point.
Point on_edge(const Damage& d) {
  const Point start = on_thing(d);
  if (!d.surface.has_background()) return start;
  const float turn = d.rng.uniform(), dx = cos_turn(turn), dy = sin_turn(turn);
  Point p = start;
  for (int k = 0; k < 2 * d.surface.size; ++k) {
    const int x = ifloor(p.x), y = ifloor(p.y);
    if (x < 0 || y < 0 || x >= d.surface.size || y >= d.surface.size) return start;
    if (d.surface.cover[d.surface.at(x, y)] < 0.5f) return p;
    p = {p.x + dx, p.y + dy};
  }
  return start;
}

// A length in pixels between two shares of the side, rather short than long.
float extent(const Damage& d, float smallest, float largest) {
  const float t = d.rng.uniform();
  const float skewed = d.rng.chance(0.5f) ? t : t * t;
  return 256.0f * d.px * (smallest + (largest - smallest) * skewed);
}

float line_width(const Damage& d, float low, float high) {
  return maxf(0.9f, d.rng.range(low, high) * d.px);
}

Color darker(Color c, float k) { return c * (1.0f - k); }

void scratch(const Damage& d) {
  Surface& f = d.surface;
  const bool bright = d.rng.chance(0.55f);
  const int strokes = d.rng.chance(0.3f) ? 2 + d.rng.below(4) : 1;
  const float k = lerp(0.3f, 0.85f, d.strength), depth = d.rng.range(0.3f, 2.5f) * d.px;
  Point start = on_thing(d);
  for (int n = 0; n < strokes; ++n) {
    Stamp s = wandering_line(f.size, d.rng, start, extent(d, 0.08f, 0.6f),
                             line_width(d, 0.7f, 3.2f), d.rng.range(0.0f, 0.03f), 0);
    s.times(f.cover);
    s.each([&](size_t i, float a, int, int) {
      f.blend(i, bright ? Color{0.92f, 0.92f, 0.9f} : darker(f.color(i), 0.7f), a * k);
      f.height[i] -= depth * a * k;
    });
    start = {start.x + d.rng.range(-9.0f, 9.0f) * d.px, start.y + d.rng.range(-9.0f, 9.0f) * d.px};
  }
}

void crack(const Damage& d) {
  Surface& f = d.surface;
  const float k = lerp(0.5f, 0.97f, d.strength);
  Stamp s = wandering_line(f.size, d.rng, on_thing(d), extent(d, 0.1f, 0.65f),
                           line_width(d, 1.0f, 4.5f), d.rng.range(0.04f, 0.12f), d.rng.below(5));
  s.times(f.cover);
  s.each([&](size_t i, float a, int, int) {
    f.blend(i, darker(f.color(i), 0.85f), a * k);
    f.height[i] -= 2.0f * d.px * a * k;
    f.gloss[i] *= 1.0f - a;
  });
}

// Pressed in or, for `up`, raised: a smooth bowl.
void bowl(const Damage& d, float up, Color tint, float tinted) {
  Surface& f = d.surface;
  const float radius = extent(d, 0.03f, 0.3f), aspect = d.rng.range(0.5f, 1.0f),
              angle = d.rng.uniform();
  const Point c = on_thing(d);
  const float cs = cos_turn(angle) / radius, sn = sin_turn(angle) / radius;
  const float depth = up * radius * lerp(0.25f, 0.9f, d.strength), shift = d.rng.range(0.0f, 60.0f);
  Stamp s(f.size, c.x - radius * 1.2f, c.y - radius * 1.2f, c.x + radius * 1.2f,
          c.y + radius * 1.2f);
  s.raise([&](float x, float y) {
    const float u = (x - c.x) * cs + (y - c.y) * sn, v = ((y - c.y) * cs - (x - c.x) * sn) / aspect;
    const float r =
        u * u + v * v + 0.25f * d.noise.at(u * 1.5f + shift, v * 1.5f) * minf(1.0f, u * u + v * v);
    return square(clamp01(1.0f - r));
  });
  s.times(f.cover);
  s.each([&](size_t i, float a, int, int) {
    f.height[i] += depth * a;
    f.blend(i, tint, tinted * minf(1.0f, 2.5f * a));
  });
}

void dent(const Damage& d) { bowl(d, -1.0f, {0, 0, 0}, 0.06f * d.strength); }

void swelling(const Damage& d) {
  const Surface& f = d.surface;
  const Point p = on_thing(d);
  const Color here = f.color(f.at(static_cast<int>(p.x), static_cast<int>(p.y)));
  const Color near = vary(here, d.rng, 0.15f);
  bowl(d, d.rng.range(0.6f, 1.3f), near, d.rng.range(0.1f, 0.6f) * d.strength);
}

void stain(const Damage& d) {
  Surface& f = d.surface;
  const Color c = d.rng.chance(0.5f) ? brown(d.rng) : dyed(d.rng);
  const float k = lerp(0.3f, 0.95f, d.strength),
              ring = d.rng.chance(0.4f) ? d.rng.range(0.3f, 1.0f) : 0.0f;
  const float wet = d.rng.range(0.0f, 0.5f), soft = d.rng.range(0.1f, 0.8f);
  const int drops = d.rng.chance(0.3f) ? 2 + d.rng.below(5) : 1;
  Point at = on_thing(d);
  for (int n = 0; n < drops; ++n) {
    const float radius = extent(d, 0.015f, 0.18f) * (n ? 0.4f : 1.0f);
    Stamp s = blob(f.size, d.noise, d.rng, at, radius, soft);
    s.times(f.cover);
    s.each([&](size_t i, float a, int, int) {
      const float band = ring * 4.0f * a * (1.0f - a);
      const Color soaked{f.r[i] * c.r * 1.15f, f.g[i] * c.g * 1.15f, f.b[i] * c.b * 1.15f};
      f.blend(i, soaked, clamp01(k * (ring > 0 ? 0.45f * a + 0.6f * band : a)));
      f.gloss[i] += wet * a;
    });
    at = {at.x + d.rng.range(-1.6f, 1.6f) * radius, at.y + d.rng.range(-1.6f, 1.6f) * radius};
  }
}

void hole(const Damage& d) {
  Surface& f = d.surface;
  const bool through = d.rng.chance(0.5f);
  const float depth = d.rng.range(2.0f, 6.0f) * d.px, dark = lerp(0.45f, 0.9f, d.strength);
  const int count = d.rng.chance(0.25f) ? 2 + d.rng.below(4) : 1;
  Point at = on_thing(d);
  for (int n = 0; n < count; ++n) {
    Stamp s = blob(f.size, d.noise, d.rng, at, extent(d, 0.01f, 0.09f), 0.25f);
    s.times(f.cover);
    s.each([&](size_t i, float a, int, int) {
      f.blend(i, through ? f.behind(i) * 0.6f : darker(f.color(i), dark), a);
      f.height[i] -= depth * a;
      f.gloss[i] *= 1.0f - a;
    });
    at = {at.x + d.rng.range(-0.08f, 0.08f) * 256.0f * d.px,
          at.y + d.rng.range(-0.08f, 0.08f) * 256.0f * d.px};
  }
}

// What lies inside the stamp is broken off.
void remove(const Damage& d, const Stamp& s, float rim) {
  Surface& f = d.surface;
  s.each([&](size_t i, float a, int, int) {
    f.blend(i, f.behind(i), a);
    f.height[i] = lerp(f.height[i], -rim, a);
    f.gloss[i] *= 1.0f - a;
    if (f.has_background()) f.cover[i] *= 1.0f - a;
  });
}

void missing_part(const Damage& d) {
  Surface& f = d.surface;
  const bool straight = d.rng.chance(0.3f);
  const Point at = on_edge(d);
  const float radius = extent(d, 0.04f, 0.2f);
  Stamp s =
      straight ? patch(f.size, d.rng, at, radius) : blob(f.size, d.noise, d.rng, at, radius, 0.06f);
  s.times(f.cover);
  remove(d, s, 1.5f * d.px);
}

void chip(const Damage& d) {
  Surface& f = d.surface;
  const Point at = on_edge(d);
  const Color here =
      f.color(f.at(static_cast<int>(clampf(at.x, 0, static_cast<float>(f.size - 1))),
                   static_cast<int>(clampf(at.y, 0, static_cast<float>(f.size - 1)))));
  const Color fresh = mix(here, d.rng.chance(0.6f) ? Color{0.9f, 0.88f, 0.84f} : here * 0.3f,
                          lerp(0.25f, 0.8f, d.strength));
  const float depth = d.rng.range(1.0f, 4.0f) * d.px, shift = d.rng.range(0.0f, 60.0f),
              cell = 5.0f * d.px;
  Stamp s = blob(f.size, d.noise, d.rng, at, extent(d, 0.02f, 0.12f), 0.12f);
  s.times(f.cover);
  s.each([&](size_t i, float a, int x, int y) {
    const float facet =
        d.noise.rough(static_cast<float>(x) / cell + shift, static_cast<float>(y) / cell);
    f.blend(i, fresh * (1.0f + 0.15f * facet), a);
    f.height[i] += a * depth * (0.8f * facet - 1.0f);
    f.gloss[i] *= 1.0f - 0.8f * a;
  });
}

// Everything in a disc is pushed aside, most in its middle; the layers move together.
void bent_part(const Damage& d) {
  Surface& f = d.surface;
  const Point c = d.rng.chance(0.5f) ? on_edge(d) : on_thing(d);
  const float radius = extent(d, 0.08f, 0.28f), turn = d.rng.uniform();
  const float push = radius * lerp(0.25f, 0.6f, d.strength),
              twist = d.rng.chance(0.4f) ? d.rng.range(-0.3f, 0.3f) : 0.0f;
  const float dx = push * cos_turn(turn), dy = push * sin_turn(turn);
  const Surface from = f;
  Stamp s(f.size, c.x - radius, c.y - radius, c.x + radius, c.y + radius);
  s.raise([&](float x, float y) {
    return square(clamp01(1.0f - (square(x - c.x) + square(y - c.y)) / (radius * radius)));
  });
  const float last = static_cast<float>(f.size - 1);
  s.each([&](size_t i, float a, int x, int y) {
    const float u = static_cast<float>(x) - c.x, v = static_cast<float>(y) - c.y;
    const float cs = cos_turn(twist * a), sn = sin_turn(twist * a);
    const float sx = clampf(c.x + u * cs - v * sn - dx * a, 0.0f, last);
    const float sy = clampf(c.y + u * sn + v * cs - dy * a, 0.0f, last);
    const int ix = static_cast<int>(sx), iy = static_cast<int>(sy);
    const int jx = ix + 1 < f.size ? ix + 1 : ix, jy = iy + 1 < f.size ? iy + 1 : iy;
    const float fx = sx - static_cast<float>(ix), fy = sy - static_cast<float>(iy);
    const auto sample = [&](const Plane& p) {
      return lerp(lerp(p[f.at(ix, iy)], p[f.at(jx, iy)], fx),
                  lerp(p[f.at(ix, jy)], p[f.at(jx, jy)], fx), fy);
    };
    f.set(i, {sample(from.r), sample(from.g), sample(from.b)});
    f.height[i] = sample(from.height), f.gloss[i] = sample(from.gloss),
    f.cover[i] = sample(from.cover);
  });
}

void foreign_body(const Damage& d, const Stamp& s, Color c, float thickness, float opacity) {
  Surface& f = d.surface;
  const int lift = 1 + static_cast<int>(thickness);
  s.each([&](size_t, float a, int x, int y) {  // its shadow first
    if (x + lift < f.size && y + lift < f.size) {
      const size_t i = f.at(x + lift, y + lift);
      f.set(i, f.color(i) * (1.0f - 0.3f * a * opacity));
    }
  });
  s.each([&](size_t i, float a, int x, int y) {
    const float grain =
        d.noise.at(static_cast<float>(x) / (2.0f * d.px), static_cast<float>(y) / (2.0f * d.px));
    f.blend(i, c * (1.0f + 0.12f * grain), a * opacity);
    f.height[i] += thickness * a;
  });
}

void contamination(const Damage& d) {
  Surface& f = d.surface;
  const Color c = d.rng.chance(0.4f) ? grey(d.rng, 0.02f, 0.95f) : dyed(d.rng);
  const float opacity = lerp(0.55f, 1.0f, d.strength);
  const Point at = on_thing(d);
  if (d.rng.chance(0.45f)) {  // a hair or fibre
    const Stamp s = wandering_line(f.size, d.rng, at, extent(d, 0.1f, 0.5f),
                                   line_width(d, 0.9f, 3.0f), d.rng.range(0.03f, 0.1f), 0);
    foreign_body(d, s, c, 1.0f * d.px, opacity);
    return;
  }
  const int grains = d.rng.chance(0.4f) ? 2 + d.rng.below(10) : 1;
  for (int n = 0; n < grains; ++n) {
    const float spread = grains > 1 ? 0.09f * 256.0f * d.px : 0.0f;
    const Point p{at.x + d.rng.range(-spread, spread), at.y + d.rng.range(-spread, spread)};
    const float radius =
        grains > 1 ? maxf(1.2f, d.rng.range(0.8f, 4.0f) * d.px) : extent(d, 0.01f, 0.1f);
    Stamp s = blob(f.size, d.noise, d.rng, p, radius, 0.15f);
    s.times(f.cover);
    foreign_body(d, s, c, minf(0.3f * radius, 4.0f * d.px), opacity);
  }
}

// Ink or paint where none belongs: a patch, blots, or pen strokes.
void misprint(const Damage& d) {
  Surface& f = d.surface;
  const float hue = d.rng.uniform(), saturation = d.rng.range(0.5f, 1.0f);
  const Color ink = d.rng.chance(0.75f) ? hsv(hue, saturation, d.rng.range(0.25f, 0.95f))
                                        : grey(d.rng, 0.0f, 0.95f);
  const float opacity = lerp(0.4f, 0.97f, d.strength), uneven = d.rng.range(0.0f, 0.4f);
  const int kind = d.rng.below(3), marks = kind == 0 ? 1 : 1 + d.rng.below(4);
  const float gloss = d.rng.chance(0.4f) ? 0.6f : 0.0f;
  Point at = on_thing(d);
  for (int n = 0; n < marks; ++n) {
    const float size = kind == 0 ? extent(d, 0.02f, 0.16f) : extent(d, 0.015f, 0.08f);
    Stamp s = kind == 0 ? patch(f.size, d.rng, at, size)
              : kind == 1
                  ? blob(f.size, d.noise, d.rng, at, size, d.rng.range(0.1f, 0.4f))
                  : wandering_line(f.size, d.rng, at, size * 4.0f, line_width(d, 1.5f, 7.0f),
                                   d.rng.range(0.03f, 0.15f), d.rng.below(3));
    s.times(f.cover);
    s.each([&](size_t i, float a, int x, int y) {
      const float thin = uneven * (0.5f + 0.5f * d.noise.at(static_cast<float>(x) / (4.0f * d.px),
                                                            static_cast<float>(y) / (4.0f * d.px)));
      f.blend(i, ink, a * opacity * (1.0f - thin));
      f.gloss[i] += gloss * a;
    });
    const float reach = maxf(size, 6.0f * d.px) * 2.0f;
    at = {at.x + d.rng.range(-reach, reach), at.y + d.rng.range(-reach, reach)};
  }
}

void cut_paste(const Damage& d) {
  Surface& f = d.surface;
  const Point to = on_thing(d), source = on_thing(d);
  const float radius = extent(d, 0.03f, 0.16f);
  const bool own = d.rng.chance(0.65f), turned = d.rng.chance(0.6f),
             with_relief = d.rng.chance(0.7f);
  const Color other = dyed(d.rng);
  const float cell = d.rng.range(1.5f, 14.0f) * d.px, contrast = d.rng.range(0.1f, 0.6f);
  const float opacity = lerp(0.5f, 1.0f, d.strength);
  const Surface from = f;
  Stamp s = d.rng.chance(0.5f) ? patch(f.size, d.rng, to, radius)
                               : blob(f.size, d.noise, d.rng, to, radius, 0.1f);
  s.times(f.cover);
  const int last = f.size - 1;
  s.each([&](size_t i, float a, int x, int y) {
    const int dx = x - static_cast<int>(to.x), dy = y - static_cast<int>(to.y);
    const int sx = static_cast<int>(source.x) + (turned ? dy : dx),
              sy = static_cast<int>(source.y) + (turned ? -dx : dy);
    const size_t j = f.at(sx < 0 ? 0 : sx > last ? last : sx, sy < 0 ? 0 : sy > last ? last : sy);
    const float grain = d.noise.rough(static_cast<float>(x) / cell, static_cast<float>(y) / cell);
    f.blend(i, own ? from.color(j) : other * (1.0f + contrast * grain), a * opacity);
    if (with_relief)
      f.height[i] =
          lerp(f.height[i],
               own ? from.height[j] - from.height[i] + f.height[i] : f.height[i] + grain * d.px,
               a * opacity);
  });
}

// A straight flaw along or across the grain: a pulled thread, a roller's mark, a joint that opened.
void thread_fault(const Damage& d) {
  Surface& f = d.surface;
  const float turn = f.grain + (d.rng.chance(0.5f) ? 0.25f : 0.0f),
              reach = 0.5f * extent(d, 0.15f, 0.9f);
  const Point c = on_thing(d);
  const float width = f.period > 0 ? f.period * d.rng.range(0.4f, 1.1f) : line_width(d, 1.2f, 5.0f);
  const float k = lerp(0.25f, 0.75f, d.strength) * d.rng.sign(), dx = reach * cos_turn(turn),
              dy = reach * sin_turn(turn);
  Stamp s(f.size, c.x - reach - width, c.y - reach - width, c.x + reach + width,
          c.y + reach + width);
  s.stroke({c.x - dx, c.y - dy}, {c.x + dx, c.y + dy}, maxf(1.0f, width), 1.0f);
  s.times(f.cover);
  s.each([&](size_t i, float a, int, int) {
    f.blend(i, k > 0 ? Color{0.95f, 0.95f, 0.93f} : darker(f.color(i), 0.8f), a * absf(k));
    f.height[i] += k * 1.5f * d.px * a;
  });
}

void burn(const Damage& d) {
  Surface& f = d.surface;
  const bool heat_tint = d.rng.chance(0.3f);
  const Color edge =
      heat_tint ? hsv(d.rng.range(0.55f, 0.75f), 0.5f, 0.6f) : hsv(0.07f, 0.7f, 0.45f);
  const float k = lerp(0.35f, 1.0f, d.strength), core = d.rng.range(0.3f, 0.95f);
  Stamp s =
      blob(f.size, d.noise, d.rng, on_thing(d), extent(d, 0.03f, 0.22f), d.rng.range(0.5f, 1.0f));
  s.times(f.cover);
  s.each([&](size_t i, float a, int, int) {
    const Color browned{f.r[i] * edge.r * 1.6f, f.g[i] * edge.g * 1.6f, f.b[i] * edge.b * 1.6f};
    f.blend(i, browned, clamp01(k * 1.3f * a));
    f.set(i, darker(f.color(i), k * core * a * a));
    f.gloss[i] *= 1.0f - 0.7f * a;
  });
}

// Rubbed, faded or unevenly finished: brightness and relief change softly over an area.
void smear(const Damage& d) {
  Surface& f = d.surface;
  const float k = lerp(0.15f, 0.5f, d.strength) * d.rng.sign(), flat = d.rng.range(0.2f, 1.0f);
  const Color veil = k > 0 ? Color{0.85f, 0.85f, 0.85f} : Color{0.06f, 0.06f, 0.06f};
  Stamp s =
      blob(f.size, d.noise, d.rng, on_thing(d), extent(d, 0.05f, 0.35f), d.rng.range(0.3f, 1.0f));
  s.times(f.cover);
  s.each([&](size_t i, float a, int, int) {
    f.blend(i, veil, a * absf(k));
    if (!f.has_background()) f.height[i] *= 1.0f - flat * a;
    f.gloss[i] *= 1.0f - flat * a;
  });
}

}  // namespace

void apply_defect(int kind, const Damage& damage) {
  static constexpr void (*kApply[])(const Damage&) = {
      scratch,  crack,     dent,         stain, hole, missing_part, bent_part, contamination,
      misprint, cut_paste, thread_fault, chip,  burn, swelling,     smear};
  static_assert(sizeof kApply / sizeof *kApply == kDefectCount, "one function per kind");
  kApply[kind](damage);
}

}  // namespace acd::datagen
