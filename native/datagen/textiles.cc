// Fabric, carpet, knit, mesh.
#include "datagen/texture_frame.h"

namespace acd::datagen {
namespace {

// Whether the warp lies on top where thread iu crosses thread iv.
bool warp_on_top(int weave, int iu, int iv) {
  if (weave == 0) return ((iu + iv) & 1) != 0;                // plain
  if (weave == 1) return ((iu + iv) & 3) < 2;                 // twill
  if (weave == 2) return (((iu >> 1) + (iv >> 1)) & 1) != 0;  // basket
  return (iu * 2 + iv * 5) % 5 == 0 ? false : true;           // satin
}

// A run along one thread where the fault sits: 0 outside, else its depth.
float thread_fault(const Fault& fault, int across, float along, int centre, float start,
                   float run) {
  if (!fault.active || across != centre) return 0;
  return smoothstep(0.0f, 0.6f, minf(along - start, start + run - along));
}

}  // namespace

void draw_woven_fabric(Scene& s, Surface& f) {
  const float n = static_cast<float>(f.size);
  const float period = maxf(2.5f, s.design.range(4.0f, 15.0f) * s.px);
  const int weave = s.design.below(4);
  const Color warp = dyed(s.design);
  const Color weft = s.design.chance(0.5f) ? vary(warp, s.design, 0.1f) : dyed(s.design);
  const float uneven = s.design.range(0.03f, 0.18f);
  const float relief = s.design.range(0.10f, 0.30f) * period;
  const int stripes = s.design.chance(0.25f) ? 3 + s.design.below(9) : 0;
  const Color stripe = dyed(s.design);
  f.grain = texture_angle(s);
  f.period = period;
  const Frame frame = make_frame(s.pose, f.grain, period);
  const float sag = s.pose.range(0.0f, 0.5f), wave = s.pose.range(0.004f, 0.02f);
  const Fault& fault = s.fault;
  const float fx = lerp(0.15f, 0.85f, fault.a) * n, fy = lerp(0.15f, 0.85f, fault.b) * n;
  const int centre = ifloor(frame.u(fx, fy));
  const float run = n / period * lerp(0.12f, 0.6f, fault.strength);
  const float start = frame.v(fx, fy) - 0.5f * run;
  for (int y = 0; y < f.size; ++y) {
    for (int x = 0; x < f.size; ++x) {
      const float px = static_cast<float>(x), py = static_cast<float>(y);
      float u = frame.u(px, py), v = frame.v(px, py);
      const float bend = sag * s.noise.at(u * wave * 4.0f, v * wave * 4.0f);
      u += bend, v -= bend;
      const int iu = ifloor(u), iv = ifloor(v);
      const float a = u - static_cast<float>(iu) - 0.5f, b = v - static_cast<float>(iv) - 0.5f;
      const float depth = thread_fault(fault, iu, v, centre, start, run);
      bool on_top = warp_on_top(weave, iu, iv);
      if (depth > 0.3f) on_top = fault.variant == 1;
      const float across = on_top ? a : b, along = on_top ? b : a;
      const int thread = on_top ? iu : iv + 71;
      float round = (1.0f - 3.0f * across * across) * (1.0f - 1.4f * along * along);
      const float fibre = s.noise.at(u * 6.0f, v * 6.0f);
      if (depth > 0) round += fault.variant == 1 ? 0.7f * depth : -0.6f * depth;
      Color c = on_top ? warp : weft;
      if (stripes && iu % stripes == 0 && on_top) c = stripe;
      const float shade = (0.72f + 0.3f * round) *
                          (1.0f + uneven * (s.noise.cell(thread, on_top ? 3 : 9) + 0.6f * fibre));
      const size_t i = f.at(x, y);
      f.set(i, c * shade);
      f.height[i] = relief * (round + 0.12f * fibre);
    }
  }
  finish_texture(f, 0.04f, warp * 0.25f);
}

void draw_carpet(Scene& s, Surface& f) {
  const float tuft = s.design.range(2.5f, 7.0f) * s.px;
  const Color dark = dyed(s.design), light = mix(dark, {1, 1, 1}, s.design.range(0.2f, 0.6f));
  const float fleck = s.design.range(0.1f, 0.6f);
  const float depth = s.design.range(0.35f, 0.9f) * tuft;
  Plane tone(f.count(), 0.4f);
  const float shift = s.pose.range(0.0f, 6.0f);
  s.noise.add_octaves(tone, f.size, tuft, 3, fleck, 0.7f, shift);
  s.noise.add(tone, f.size, 70.0f * s.px, 50.0f * s.px, 0.12f, shift + 0.5f);
  tint(f, tone, dark * 0.75f, light);
  s.noise.add_octaves(f.height, f.size, tuft, 3, 0.5f * depth, 0.55f, shift + 0.23f);
  f.grain = s.pose.uniform();
  f.period = tuft * 2.0f;
  finish_texture(f, 0.01f, dark * 0.3f);
}

void draw_knit(Scene& s, Surface& f) {
  const float n = static_cast<float>(f.size);
  const float period = maxf(5.0f, s.design.range(9.0f, 26.0f) * s.px);
  const Color yarn = dyed(s.design), second = dyed(s.design);
  const int rows = s.design.chance(0.3f) ? 4 + s.design.below(6) : 0;
  const float slant = s.design.range(0.8f, 1.5f), fluff = s.design.range(0.05f, 0.25f);
  f.grain = texture_angle(s) + 0.25f;
  f.period = period;
  const Frame frame = make_frame(s.pose, f.grain, period);
  const Fault& fault = s.fault;
  const float fx = lerp(0.15f, 0.85f, fault.a) * n, fy = lerp(0.15f, 0.85f, fault.b) * n;
  const int centre = ifloor(frame.u(fx, fy));
  const float run = n / period * lerp(0.15f, 0.7f, fault.strength);
  const float start = frame.v(fx, fy) - 0.5f * run;
  for (int y = 0; y < f.size; ++y) {
    for (int x = 0; x < f.size; ++x) {
      const float px = static_cast<float>(x), py = static_cast<float>(y);
      float u = frame.u(px, py), v = frame.v(px, py) * 1.25f;
      u += 0.12f * s.noise.at(u * 0.3f, v * 0.3f);
      const int iu = ifloor(u);
      const float a = u - static_cast<float>(iu) - 0.5f;
      const float stitch = v + absf(a) * slant;
      const int iv = ifloor(stitch);
      const float b = stitch - static_cast<float>(iv) - 0.5f;
      const float leg = (absf(a) - 0.26f) * 3.6f;
      float round = (1.0f - leg * leg) * (1.0f - 2.2f * b * b);
      const float fibre = s.noise.at(u * 9.0f + a * 3.0f, stitch * 4.0f);
      const float depth = thread_fault(fault, iu, v * 0.8f, centre, start, run);
      if (depth > 0) {
        const float ladder = absf(fract(v * 1.0f) - 0.5f) < 0.16f ? 0.6f : -0.3f;
        round = lerp(round, fault.variant == 1 ? 1.3f - 5.0f * a * a : ladder, depth);
      }
      const Color c = rows && (iv % rows + rows) % rows == 0 ? second : yarn;
      const size_t i = f.at(x, y);
      f.set(i, c * ((0.55f + 0.42f * maxf(round, -0.6f)) * (1.0f + fluff * fibre)));
      f.height[i] = 0.16f * period * (round + 0.15f * fibre);
    }
  }
  finish_texture(f, 0.01f, yarn * 0.2f);
}

void draw_mesh(Scene& s, Surface& f) {
  const float n = static_cast<float>(f.size);
  const float period = maxf(5.0f, s.design.range(12.0f, 42.0f) * s.px);
  const float half = s.design.range(0.10f, 0.28f);
  const bool diamond = s.design.chance(0.35f);
  const bool metallic = s.design.chance(0.6f);
  const Color wire = metallic ? metal(s.design) : dyed(s.design);
  const Color back = s.design.chance(0.7f) ? grey(s.design, 0.02f, 0.9f) : dyed(s.design);
  const float aspect = s.design.range(0.7f, 1.4f);
  f.grain = texture_angle(s) + (diamond ? 0.125f : 0.0f);
  f.period = period;
  const Frame frame = make_frame(s.pose, f.grain, period);
  const Fault& fault = s.fault;
  const float fx = lerp(0.15f, 0.85f, fault.a) * n, fy = lerp(0.15f, 0.85f, fault.b) * n;
  const float cu = static_cast<float>(ifloor(frame.u(fx, fy)));
  const float cv = (static_cast<float>(ifloor(frame.v(fx, fy) * aspect)) + 0.5f);
  const float run = 0.5f + 1.6f * fault.strength;
  for (int y = 0; y < f.size; ++y) {
    for (int x = 0; x < f.size; ++x) {
      const float px = static_cast<float>(x), py = static_cast<float>(y);
      float u = frame.u(px, py), v = frame.v(px, py) * aspect;
      const float sway = 0.05f * s.noise.at(u * 0.4f, v * 0.4f);
      u += sway, v -= sway;
      float gone = 0;
      if (fault.active) {
        const float along = absf(v - cv) / run, off = absf(u - cu);
        const float inside = (off < 0.5f ? 1.0f : 0.0f) * smoothstep(1.0f, 0.85f, along);
        if (fault.variant == 0) gone = inside;
        if (fault.variant == 1)
          u += 0.45f * (0.4f + 0.6f * fault.strength) * maxf(0.0f, 1.0f - along * along) *
               maxf(0.0f, 1.0f - off * 0.6f);
      }
      const float a = absf(fract(u + 0.5f) - 0.5f), b = absf(fract(v + 0.5f) - 0.5f);
      const float wu = gone > 0.5f ? 1.0f : a / half, wv = b / half;
      const float lift = ((ifloor(u + 0.5f) + ifloor(v + 0.5f)) & 1) ? 0.2f : -0.2f;
      const float ru = 1.0f - wu * wu + lift, rv = 1.0f - wv * wv - lift;
      const bool first = (wu < 1.0f && ru > rv) || wv >= 1.0f;
      const float round = first ? ru : rv, edge = first ? wu : wv;
      const float on = clamp01((1.0f - edge) * half * period * 0.9f + 0.5f);
      const float grain = s.noise.at(u * 7.0f, v * 7.0f);
      const size_t i = f.at(x, y);
      const Color behind = back * (1.0f + 0.1f * s.noise.at(px / 60.0f, py / 60.0f));
      f.set(i, mix(behind, wire * (0.75f + 0.2f * round + 0.07f * grain), on));
      f.height[i] = on * half * period * (0.6f + 0.7f * round);
      f.gloss[i] = metallic ? 0.5f * on : 0.15f * on;
      f.cover[i] = 1.0f;
    }
  }
  f.under = back;
}

}  // namespace acd::datagen
