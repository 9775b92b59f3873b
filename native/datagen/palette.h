// Colours by what a thing is made of.
#pragma once

#include "datagen/surface.h"

namespace acd::datagen {

// Any colour that things are dyed or painted in; greys are as frequent as in a warehouse.
inline Color dyed(Rng& rng) {
  const float hue = rng.uniform();
  const float value = rng.range(0.15f, 0.92f);
  const float saturation = rng.chance(0.3f) ? rng.range(0.0f, 0.12f) : rng.range(0.15f, 0.85f);
  return hsv(hue, saturation, value);
}
inline Color brown(Rng& rng) {
  const float hue = rng.range(0.03f, 0.12f);
  const float saturation = rng.range(0.2f, 0.7f);
  return hsv(hue, saturation, rng.range(0.2f, 0.85f));
}
inline Color grey(Rng& rng, float low, float high) {
  const float value = rng.range(low, high);
  const float hue = rng.range(0.02f, 0.65f);
  return hsv(hue, rng.range(0.0f, 0.08f), value);
}
inline Color metal(Rng& rng) {
  if (rng.chance(0.25f)) {  // brass, copper, gold
    const float hue = rng.range(0.05f, 0.14f);
    const float saturation = rng.range(0.3f, 0.6f);
    return hsv(hue, saturation, rng.range(0.5f, 0.8f));
  }
  return grey(rng, 0.3f, 0.75f);
}
// The same colour as another item of the batch has it.
inline Color vary(Color c, Rng& rng, float amount) {
  const float all = rng.range(-amount, amount);
  const float r = rng.range(-amount, amount), b = rng.range(-amount, amount);
  return {clamp01(c.r + all + 0.4f * r), clamp01(c.g + all), clamp01(c.b + all + 0.4f * b)};
}

}  // namespace acd::datagen
