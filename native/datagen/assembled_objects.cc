// Circuit board, cable, toothbrush, comb: things made of many parts.
#include "datagen/object.h"

namespace acd::datagen {
namespace {

int chosen(const Fault& fault, int count) {
  return fault.active ? static_cast<int>(fault.a * static_cast<float>(count) * 0.999f) : -1;
}

struct Component {
  float u, v, half_u, half_v;
  int kind;  // 0 chip, 1 resistor, 2 round capacitor
  Color color;
};

Component make_component(Rng& rng, int gu, int gv, float cell) {
  Component c{};
  c.kind = rng.below(3);
  c.u = (static_cast<float>(gu) + 0.5f) * cell - 1.0f + rng.range(-0.08f, 0.08f) * cell;
  c.v = (static_cast<float>(gv) + 0.5f) * cell - 1.0f + rng.range(-0.08f, 0.08f) * cell;
  const float side = cell * rng.range(0.16f, 0.36f);
  c.half_u = side, c.half_v = c.kind == 2 ? side : side * rng.range(0.35f, 1.0f);
  c.color = c.kind == 0 ? grey(rng, 0.05f, 0.2f) : dyed(rng) * 0.8f;
  return c;
}

void draw_component(const Component& c, float u, float v, Texel& t) {
  const float x = u - c.u, y = v - c.v;
  const float d =
      c.kind == 2 ? length(x, y) - c.half_u : box_distance(x, y, c.half_u, c.half_v, 0.01f);
  if (c.kind == 0 && d > 0 && d < 0.05f && fract(x * 16.0f) < 0.5f && absf(x) < c.half_u) {
    t.color = {0.7f, 0.7f, 0.68f}, t.height = 0.01f, t.gloss = 0.7f;
    return;
  }
  if (d > 0) return;
  const bool cap_end = c.kind == 1 && absf(x) > c.half_u * 0.7f;
  t.color = cap_end ? Color{0.75f, 0.75f, 0.72f} : c.color;
  if (c.kind == 0 && absf(y) < c.half_v * 0.25f && absf(x) < c.half_u * 0.7f &&
      fract(x * 30.0f) < 0.6f)
    t.color = t.color + Color{0.3f, 0.3f, 0.3f};
  if (c.kind == 2) t.color = mix({0.7f, 0.7f, 0.7f}, c.color, smoothstep(-0.03f, -0.02f, d));
  t.height = 0.05f * smoothstep(0.0f, -0.03f, d);
  t.gloss = cap_end || c.kind == 2 ? 0.6f : 0.1f;
}

}  // namespace

void draw_circuit_board(Scene& s, Surface& f) {
  draw_background(s, f);
  const Color board = s.design.chance(0.6f)
                          ? hsv(s.design.range(0.28f, 0.45f), 0.7f, s.design.range(0.2f, 0.5f))
                          : dyed(s.design) * 0.6f;
  const Color trace = mix(board, {0.8f, 0.75f, 0.4f}, s.design.range(0.2f, 0.7f));
  const Color solder =
      s.design.chance(0.5f) ? Color{0.75f, 0.75f, 0.72f} : Color{0.8f, 0.65f, 0.25f};
  const int grid = 3 + s.design.below(3);
  const float cell = 2.0f / static_cast<float>(grid), aspect = s.design.range(0.6f, 1.0f);
  const Rng layout = s.design.fork(7);
  std::vector<Component> parts;
  for (int g = 0; g < grid * grid; ++g) {
    Rng own = layout.fork(static_cast<uint64_t>(g));
    const bool there = own.chance(0.7f);
    parts.push_back(make_component(own, g % grid, g / grid, cell));
    if (!there) parts.back().half_u = 0;
  }
  const Fault& fault = s.fault;
  for (int k = 0, bad = chosen(fault, grid * grid); fault.active && k < grid * grid; ++k) {
    Component& c = parts[static_cast<size_t>((bad + k) % (grid * grid))];
    if (c.half_u == 0) continue;
    if (fault.variant == 0) c.half_u = -1.0f;
    if (fault.variant == 1)
      c.u += cell * (0.1f + 0.25f * fault.strength), c.v += cell * 0.2f * (fault.b - 0.5f);
    break;
  }
  const Placement p = place(s, f, 0.8f, 1.05f, false);
  const float density = s.design.range(5.0f, 12.0f), seed = s.design.range(0.0f, 50.0f);
  draw_object(f, p, 1.1f, [&](float u, float v0) {
    Texel t;
    const float v = v0 / aspect;
    t.distance = box_distance(u, v0, 1.0f, aspect, 0.03f);
    const float lane =
        v * density +
        0.8f * smoothstep(-0.1f, 0.1f, s.noise.cell(ifloor(v * density), 4) - u * 0.5f) + seed;
    const bool on = absf(fract(lane) - 0.5f) < 0.18f &&
                    s.noise.cell(ifloor(lane), ifloor(u * 2.5f + seed)) > -0.2f;
    t.color = (on ? trace : board) * (1.0f + 0.04f * s.noise.at(u * 30.0f, v * 30.0f));
    t.height = on ? 0.006f : 0.0f;
    t.gloss = 0.25f;
    const float gu = fract(u * density * 0.5f) - 0.5f, gv = fract(v * density * 0.5f) - 0.5f;
    if (s.noise.cell(ifloor(u * density * 0.5f) + 80, ifloor(v * density * 0.5f)) > 0.5f) {
      const float via = length(gu, gv);
      if (via < 0.3f) t.color = via < 0.13f ? Color{0.05f, 0.05f, 0.05f} : solder, t.gloss = 0.6f;
    }
    const int iu = ifloor((u + 1.0f) / cell), iv = ifloor((v + 1.0f) / cell);
    for (int dv = -1; dv <= 1; ++dv)
      for (int du = -1; du <= 1; ++du) {
        const int cu = iu + du, cv = iv + dv;
        if (cu < 0 || cv < 0 || cu >= grid || cv >= grid) continue;
        const Component& c = parts[static_cast<size_t>(cv * grid + cu)];
        if (c.half_u == 0) continue;
        if (c.half_u < 0) {  // the empty place shows its pads
          if (box_distance(absf(u - c.u) - 0.18f * cell, v - c.v, 0.06f * cell, 0.1f * cell, 0) < 0)
            t.color = solder;
          continue;
        }
        draw_component(c, u, v, t);
      }
    return t;
  });
  cast_shadow(s, f);
}

void draw_cable(Scene& s, Surface& f) {
  draw_background(s, f);
  const Color sheath = s.design.chance(0.6f) ? grey(s.design, 0.1f, 0.9f) : dyed(s.design);
  const int wires = 1 + s.design.below(5);
  Color insulation[5];
  for (Color& c : insulation) c = dyed(s.design);
  const Color copper =
      s.design.chance(0.7f) ? hsv(0.07f, 0.55f, 0.75f) : grey(s.design, 0.5f, 0.75f);
  const float inner = s.design.range(0.74f, 0.88f);
  const float fit = wires == 1 ? inner * 0.75f
                               : inner * sin_turn(0.5f / static_cast<float>(wires)) /
                                     (1.0f + sin_turn(0.5f / static_cast<float>(wires)));
  const float wire = fit * s.design.range(0.85f, 0.97f), core = wire * s.design.range(0.5f, 0.72f);
  const float strand = core * s.design.range(0.14f, 0.3f);
  const Color filler = s.design.chance(0.5f) ? sheath * 0.7f : grey(s.design, 0.05f, 0.85f);
  const Placement p = place(s, f, 0.7f, 0.97f, true);
  const Fault& fault = s.fault;
  const int bad = chosen(fault, wires);
  draw_object(f, p, 1.1f, [&](float u, float v) {
    Texel t;
    const float radius = length(u, v);
    t.distance = radius - 1.0f;
    t.color =
        (radius > inner ? sheath : filler) * (1.0f + 0.06f * s.noise.rough(u * 9.0f, v * 9.0f));
    t.height = radius > inner ? 0.0f : -0.06f;
    t.gloss = 0.05f;
    for (int k = 0; k < wires; ++k) {
      const float turn = static_cast<float>(k) / static_cast<float>(wires);
      const float out = wires == 1 ? 0.0f : inner - fit;
      const float x = u - out * cos_turn(turn), y = v - out * sin_turn(turn), d = length(x, y);
      if (d > wire || (k == bad && fault.variant == 0 && fault.strength > 0.5f)) continue;
      t.color = insulation[k == bad && fault.variant == 1 ? (k + 2) % 5 : k] *
                (1.0f + 0.05f * s.noise.at(u * 25.0f, v * 25.0f));
      t.height = -0.02f;
      if (d > core || (k == bad && fault.variant == 0)) continue;
      const float row = y / (strand * 1.73f), shift = (ifloor(row) & 1) ? 0.5f : 0.0f;
      const float a = fract(x / (strand * 2.0f) + shift) - 0.5f, b = fract(row) - 0.5f;
      const float bump = 1.0f - 4.0f * (a * a + b * b);
      t.color = copper * (0.45f + 0.55f * maxf(bump, 0.0f));
      t.height = 0.4f * strand * bump;
      t.gloss = 0.5f;
    }
    return t;
  });
  cast_shadow(s, f);
}

void draw_toothbrush(Scene& s, Surface& f) {
  draw_background(s, f);
  const Color body = dyed(s.design);
  Color bristle[3] = {grey(s.design, 0.7f, 0.97f), dyed(s.design), dyed(s.design)};
  if (s.design.chance(0.5f)) bristle[2] = bristle[0];
  const int columns = 3 + s.design.below(2), rows = 7 + s.design.below(5),
            colours = 1 + s.design.below(3);
  const float width = s.design.range(0.34f, 0.5f);
  const float cu = 2.0f / (static_cast<float>(rows) + 0.6f),
              cv = 2.0f * width / (static_cast<float>(columns) + 0.5f);
  const Placement p = place(s, f, 0.8f, 0.98f, false);
  const Fault& fault = s.fault;
  const int bad = chosen(fault, rows * columns);
  const float splay = s.pose.range(0.05f, 0.2f);
  draw_object(f, p, 1.1f, [&](float u, float v) {
    Texel t;
    t.distance = box_distance(u, v, 1.0f, width, width * 0.8f);
    t.color = body * 0.9f;
    t.height = 0.05f * smoothstep(0.0f, -0.1f, t.distance);
    t.gloss = 0.3f;
    const float gu = (u + 1.0f - 0.3f * cu) / cu, gv = (v + width - 0.25f * cv) / cv;
    const int iu = ifloor(gu), iv = ifloor(gv);
    for (int dv = -1; dv <= 1; ++dv)
      for (int du = -1; du <= 1; ++du) {
        const int a = iu + du, b = iv + dv;
        if (a < 0 || b < 0 || a >= rows || b >= columns) continue;
        const bool hit = b * rows + a == bad;
        if (hit && fault.variant == 0) continue;
        float x = gu - static_cast<float>(a) - 0.5f - splay * s.noise.cell(a, b);
        float y = gv - static_cast<float>(b) - 0.5f - splay * s.noise.cell(a + 40, b);
        if (hit) x -= 0.3f + 0.5f * fault.strength, y -= 0.8f * (fault.b - 0.5f);
        const float d = length(x, y) + 0.12f * s.noise.at(u * 60.0f, v * 60.0f);
        if (d > 0.47f) continue;
        const float tip = s.noise.at(u * 90.0f, v * 90.0f);
        t.color =
            bristle[(a + b) % colours] * (0.8f + 0.25f * tip - 0.5f * smoothstep(0.3f, 0.47f, d));
        t.height = 0.08f + 0.03f * tip;
        t.gloss = 0.05f;
      }
    return t;
  });
  cast_shadow(s, f);
}

void draw_comb(Scene& s, Surface& f) {
  draw_background(s, f);
  const Color body = dyed(s.design), end = s.design.chance(0.3f) ? dyed(s.design) : body;
  const int teeth = 10 + s.design.below(22);
  const float spine = s.design.range(0.12f, 0.22f), reach = s.design.range(0.3f, 0.6f);
  const float fill_ratio = s.design.range(0.35f, 0.6f), gloss = s.design.range(0.1f, 0.7f);
  const Placement p = place(s, f, 0.8f, 0.98f, true);
  const Fault& fault = s.fault;
  const int bad = chosen(fault, teeth);
  draw_object(f, p, 1.1f, [&](float u, float v) {
    Texel t;
    const float back = box_distance(u, v + 0.4f * reach + 0.5f * spine, 1.0f, spine, 0.06f);
    const float pitch = 2.0f / static_cast<float>(teeth), w0 = (u + 1.0f) / pitch;
    const float depth = v + 0.4f * reach - 0.4f * spine;
    float nearest = back;
    for (int k = ifloor(w0) - 1; k <= ifloor(w0) + 1; ++k) {
      if (k < 0 || k >= teeth) continue;
      float length_of = reach, lean = 0;
      if (k == bad && fault.variant == 0) length_of *= 0.8f * (1.0f - fault.strength);
      if (k == bad && fault.variant == 1)
        lean = (0.5f + fault.strength) * square(maxf(depth, 0.0f) / reach) *
               (fault.b < 0.5f ? -1.0f : 1.0f);
      const float off = (w0 - static_cast<float>(k) - 0.5f - lean) * pitch;
      const float half = 0.5f * pitch * fill_ratio * (1.0f - 0.4f * clamp01(depth / reach));
      nearest = minf(nearest, maxf(absf(off) - half, maxf(depth - length_of, -depth - 0.1f)));
    }
    t.distance = nearest;
    t.color = mix(body, end, smoothstep(-0.5f, 0.9f, u)) *
              (1.0f + 0.06f * s.noise.rough(u * 4.0f, v * 4.0f));
    t.height = -0.03f * square(clamp01(1.0f + nearest / 0.04f));
    t.gloss = gloss;
    return t;
  });
  cast_shadow(s, f);
}

}  // namespace acd::datagen
