// Elementary functions from basic float arithmetic and sqrt alone, which IEEE 754 rounds the same
// everywhere; libm's sin, atan2 and exp differ in the last bit between machines.
#pragma once

#include <cmath>

namespace acd::datagen {

// std::floor is a library call without SSE4.1.
inline int ifloor(float x) {
  const int i = static_cast<int>(x);
  return i - (x < static_cast<float>(i));
}
inline float fract(float x) { return x - static_cast<float>(ifloor(x)); }
inline float absf(float x) { return x < 0 ? -x : x; }
inline float minf(float a, float b) { return a < b ? a : b; }
inline float maxf(float a, float b) { return a > b ? a : b; }
inline float clampf(float x, float low, float high) { return minf(maxf(x, low), high); }
inline float clamp01(float x) { return clampf(x, 0.0f, 1.0f); }
inline float lerp(float a, float b, float t) { return a + (b - a) * t; }
inline float smooth01(float t) {
  t = clamp01(t);
  return t * t * (3.0f - 2.0f * t);
}
inline float smoothstep(float low, float high, float x) {
  return smooth01((x - low) / (high - low));
}
inline float square(float x) { return x * x; }
inline float length(float x, float y) { return std::sqrt(x * x + y * y); }

// sin of `t` full turns, within 0.0011.
inline float sin_turn(float t) {
  const float x = fract(t + 0.5f) - 0.5f;
  const float y = 8.0f * x - 16.0f * x * absf(x);
  return 0.225f * (y * absf(y) - y) + y;
}
inline float cos_turn(float t) { return sin_turn(t + 0.25f); }

// Angle of (x, y) in turns, in [-0.5, 0.5], within 0.0003.
inline float atan_turn(float y, float x) {
  const float ax = absf(x), ay = absf(y);
  const float top = maxf(ax, ay);
  if (top == 0) return 0;
  const float q = minf(ax, ay) / top;
  float a = q * (0.125f + 0.0434f * (1.0f - q) + 0.0105f * q * (1.0f - q));
  if (ay > ax) a = 0.25f - a;
  if (x < 0) a = 0.5f - a;
  return y < 0 ? -a : a;
}

}  // namespace acd::datagen
