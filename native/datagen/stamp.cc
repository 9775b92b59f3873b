#include "datagen/stamp.h"

namespace acd::datagen {
namespace {

int inside(float x, int size) {
  return static_cast<int>(clampf(x, 0.0f, static_cast<float>(size)));
}

}  // namespace

Stamp::Stamp(int size, float left, float top, float right, float bottom)
    : size_(size),
      x0_(inside(left - 1.0f, size)),
      y0_(inside(top - 1.0f, size)),
      x1_(inside(right + 2.0f, size)),
      y1_(inside(bottom + 2.0f, size)),
      alpha_(static_cast<size_t>(x1_ - x0_) * static_cast<size_t>(y1_ - y0_)) {}

void Stamp::stroke(Point a, Point b, float width, float opacity) {
  const float du = b.x - a.x, dv = b.y - a.y, squared = maxf(du * du + dv * dv, 1e-6f);
  const float half = 0.5f * width, pad = half + 1.5f;
  raise(
      [&](float x, float y) {
        const float t = clamp01(((x - a.x) * du + (y - a.y) * dv) / squared);
        const float d = length(x - a.x - t * du, y - a.y - t * dv);
        // A line thinner than a pixel is a faint pixel.
        return opacity * clamp01(half - d + 0.5f) * minf(1.0f, width + 0.25f);
      },
      ifloor(minf(a.x, b.x) - pad), ifloor(minf(a.y, b.y) - pad), ifloor(maxf(a.x, b.x) + pad) + 1,
      ifloor(maxf(a.y, b.y) + pad) + 1);
}

Stamp blob(int size, const Noise& noise, Rng& rng, Point c, float radius, float softness) {
  const float aspect = rng.range(0.35f, 1.0f), angle = rng.uniform();
  const float ragged = rng.range(0.05f, 0.55f), lumps = rng.range(0.8f, 2.6f),
              shift = rng.range(0.0f, 90.0f);
  const float cs = cos_turn(angle) / radius, sn = sin_turn(angle) / radius;
  const float reach = radius * 1.5f, edge = maxf(1.2f / radius, softness);
  Stamp s(size, c.x - reach, c.y - reach, c.x + reach, c.y + reach);
  s.raise([&](float x, float y) {
    const float dx = x - c.x, dy = y - c.y;
    const float u = dx * cs + dy * sn, v = (dy * cs - dx * sn) / aspect;
    const float d = length(u, v) + ragged * noise.rough(u * lumps + shift, v * lumps + shift);
    const float frame = clamp01((1.5f - maxf(absf(dx), absf(dy)) / radius) * 4.0f);
    return frame * smooth01((1.0f - d) / edge);
  });
  return s;
}

Stamp patch(int size, Rng& rng, Point c, float radius) {
  const float angle = rng.chance(0.5f) ? 0.0f : rng.uniform(), aspect = rng.range(0.25f, 1.0f);
  const bool round = rng.chance(0.4f);
  const float cs = cos_turn(angle), sn = sin_turn(angle), reach = radius * 1.42f;
  Stamp s(size, c.x - reach, c.y - reach, c.x + reach, c.y + reach);
  s.raise([&](float x, float y) {
    const float u = (x - c.x) * cs + (y - c.y) * sn, v = ((y - c.y) * cs - (x - c.x) * sn) / aspect;
    const float d = round ? length(u, v) : maxf(absf(u), absf(v));
    return clamp01((radius - d) * aspect + 0.5f);
  });
  return s;
}

Stamp wandering_line(int size, Rng& rng, Point start, float length, float width, float wander,
                     int branches) {
  Stamp s(size, start.x - length, start.y - length, start.x + length, start.y + length);
  const int steps = 6 + rng.below(10);
  float heading = rng.uniform();
  for (int branch = 0; branch <= branches; ++branch) {
    const float share = branch == 0 ? 1.0f : rng.range(0.2f, 0.6f);
    const float step = share * length / static_cast<float>(steps);
    Point at = start;
    float direction = branch == 0 ? heading : heading + rng.sign() * rng.range(0.08f, 0.3f);
    const float drift = rng.range(-0.5f, 0.5f) * wander;
    Point next_start = at;
    for (int k = 0; k < steps; ++k) {
      direction += wander * rng.range(-1.0f, 1.0f) + drift;
      const Point to{at.x + step * cos_turn(direction), at.y + step * sin_turn(direction)};
      const float taper = 1.0f - 0.7f * static_cast<float>(k) / static_cast<float>(steps);
      s.stroke(at, to, width * taper * (branch == 0 ? 1.0f : 0.7f), 1.0f);
      at = to;
      if (rng.chance(0.35f)) next_start = at;
    }
    start = next_start;
    heading = direction;
  }
  return s;
}

}  // namespace acd::datagen
