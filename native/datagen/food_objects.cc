// Cookie, nut in its shell, fruit: things that grew or rose, with no two outlines alike.
#include "datagen/object.h"

namespace acd::datagen {

void draw_cookie(Scene& s, Surface& f) {
  draw_background(s, f);
  const Color dough = brown(s.design);
  const bool scalloped = s.design.chance(0.3f), chips = s.design.chance(0.5f),
             docked = s.design.chance(0.4f);
  const Color chip = dyed(s.design) * 0.5f;
  const int lobes = 12 + s.design.below(20), spots = 3 + s.design.below(5);
  const float rough = s.design.range(0.03f, 0.1f), crumb = s.design.range(0.1f, 0.35f);
  const Placement p = place(s, f, 0.6f, 0.92f, true);
  const float drift = s.pose.range(0.0f, 60.0f);
  draw_object(f, p, 1.25f, [&](float u, float v) {
    Texel t;
    const float radius = length(u, v), turn = atan_turn(v, u);
    const float wobble = rough * s.noise.rough(u * 1.8f + drift, v * 1.8f);
    t.distance = radius - 0.96f - wobble -
                 (scalloped ? 0.03f * sin_turn(turn * static_cast<float>(lobes)) : 0.0f);
    const float grain = s.noise.rough(u * 11.0f + drift, v * 11.0f),
                bubble = s.noise.at(u * 5.0f, v * 5.0f + drift);
    t.color = dough * (1.0f + crumb * grain - 0.25f * smoothstep(-0.25f, 0.0f, t.distance));
    t.height = 0.05f * bubble + 0.03f * grain - 0.25f * square(clamp01(1.0f + t.distance / 0.3f));
    const int iu = ifloor(u * static_cast<float>(spots)),
              iv = ifloor(v * static_cast<float>(spots));
    const float a = u * static_cast<float>(spots) - static_cast<float>(iu) - 0.5f,
                b = v * static_cast<float>(spots) - static_cast<float>(iv) - 0.5f;
    if (docked && !chips && radius < 0.8f) {
      const float hole = smoothstep(0.16f, 0.08f, length(a, b));
      t.height -= 0.04f * hole, t.color = t.color * (1.0f - 0.5f * hole);
    }
    if (chips && s.noise.cell(iu + 60, iv + 20) > -0.1f) {
      const float d = length(a - 0.2f * s.noise.cell(iu, iv), b) + 0.15f * grain;
      const float on = smoothstep(0.33f, 0.26f, d) * smoothstep(-0.04f, -0.09f, t.distance);
      t.color = mix(t.color, chip, on), t.height += 0.05f * on;
    }
    t.gloss = 0.02f;
    return t;
  });
  cast_shadow(s, f);
}

void draw_seed(Scene& s, Surface& f) {
  draw_background(s, f);
  const Color shell = s.design.chance(0.4f)
                          ? mix(brown(s.design), {0.95f, 0.9f, 0.75f}, s.design.range(0.3f, 0.8f))
                          : brown(s.design);
  const float aspect = s.design.range(0.6f, 1.0f), tip = s.design.range(0.0f, 0.5f);
  const float streak = s.design.range(0.05f, 0.35f), lines = s.design.range(3.0f, 14.0f);
  const float hilum = s.design.range(0.15f, 0.6f), crease = s.design.chance(0.4f) ? 0.3f : 0.0f;
  const float gloss = s.design.range(0.02f, 0.35f);
  Placement p = place(s, f, 0.4f, 0.85f, true);
  const float drift = s.pose.range(0.0f, 60.0f), lump = s.pose.range(0.02f, 0.12f);
  const float ripe = s.pose.range(0.85f, 1.1f), patch = s.pose.range(0.0f, 0.25f);
  draw_object(f, p, 1.25f, [&](float u, float v) {
    Texel t;
    const float w = v / (aspect * (1.0f - 0.25f * u - 0.3f * tip * maxf(u, 0.0f) * u));
    const float radius = length(u, w) - lump * s.noise.at(u * 1.3f + drift, v * 1.3f);
    t.distance = (radius - 0.96f) * aspect;
    const float dome = std::sqrt(maxf(0.0f, 1.0f - radius * radius));
    // Meridians converge at the tip, as fibres do.
    const float meridian = w / maxf(0.25f, std::sqrt(maxf(0.0f, 1.02f - u * u)));
    const float fibre = s.noise.at(meridian * lines + drift, u * 1.5f);
    const float cloud = s.noise.rough(u * 2.2f, v * 2.2f + drift),
                grain = s.noise.at(u * 30.0f, v * 30.0f);
    const float base = smoothstep(-0.95f + 0.3f * hilum, -0.98f + 0.1f * hilum, u + 0.05f * cloud);
    const float groove = crease * smoothstep(0.1f, 0.0f, absf(meridian + 0.1f * cloud));
    t.color =
        shell * (ripe * (1.0f + streak * fibre + patch * cloud + 0.04f * grain) * (1.0f - groove));
    t.color = mix(t.color, mix(shell, {0.8f, 0.7f, 0.5f}, 0.6f) * (0.9f + 0.1f * grain), base);
    t.height = 0.55f * aspect * dome + 0.012f * fibre - 0.05f * groove + 0.008f * cloud;
    t.gloss = gloss;
    return t;
  });
  cast_shadow(s, f);
}

void draw_fruit(Scene& s, Surface& f) {
  draw_background(s, f);
  const float hue = s.design.range(-0.05f, 0.33f), saturation = s.design.range(0.5f, 0.9f);
  const float value = s.design.range(0.5f, 0.95f), blush_hue = hue + s.design.range(-0.12f, 0.08f);
  const Color skin = hsv(hue, saturation, value), blush = hsv(blush_hue, saturation, 0.85f * value);
  const bool citrus = s.design.chance(0.35f);
  const float dots = s.design.range(0.0f, 0.5f), aspect = s.design.range(0.85f, 1.0f);
  const Placement p = place(s, f, 0.6f, 0.92f, true);
  const float drift = s.pose.range(0.0f, 60.0f), su = s.pose.range(-0.5f, 0.5f),
              sv = s.pose.range(-0.5f, 0.5f);
  draw_object(f, p, 1.2f, [&](float u, float v) {
    Texel t;
    const float w = v / aspect;
    const float radius = length(u, w) - 0.03f * s.noise.at(u * 1.2f + drift, v * 1.2f);
    t.distance = radius - 0.97f;
    const float dome = std::sqrt(maxf(0.0f, 1.0f - radius * radius));
    const float stretch = 1.0f / (0.45f + 0.55f * dome);
    const float stripe = s.noise.rough(u * 1.2f * stretch + drift, w * 1.2f * stretch);
    const float speck =
        smoothstep(0.55f, 0.8f, s.noise.at(u * 14.0f * stretch, w * 14.0f * stretch + drift));
    const float peel = s.noise.at(u * 24.0f * stretch, w * 24.0f * stretch);
    const float stem = smoothstep(0.16f, 0.03f, length(u - su, w - sv));
    t.color = mix(skin, blush, clamp01(0.4f + 0.8f * stripe));
    t.color = mix(t.color, {0.9f, 0.85f, 0.6f}, citrus ? 0.0f : dots * speck) *
              (citrus ? 1.0f + 0.06f * peel : 1.0f);
    t.color = mix(t.color, {0.25f, 0.18f, 0.08f}, 0.9f * stem * stem);
    t.height = 0.5f * dome + (citrus ? 0.012f * peel : 0.002f * peel) - 0.08f * stem;
    t.gloss = citrus ? 0.2f : 0.5f;
    return t;
  });
  cast_shadow(s, f);
}

}  // namespace acd::datagen
