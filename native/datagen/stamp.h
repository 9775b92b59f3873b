// Where a defect lies: opacity in a box of the picture.
#pragma once

#include "datagen/noise.h"

namespace acd::datagen {

struct Point {
  float x, y;
};

class Stamp {
 public:
  Stamp(int size, float left, float top, float right, float bottom);

  bool empty() const { return alpha_.empty(); }
  // body(index of the pixel in the surface, opacity, x, y) wherever there is some opacity.
  template <typename Body>
  void each(const Body& body) const {
    for (int y = y0_; y < y1_; ++y) {
      for (int x = x0_; x < x1_; ++x) {
        const float a = at(x, y);
        if (a > 0)
          body(static_cast<size_t>(y) * static_cast<size_t>(size_) + static_cast<size_t>(x), a, x,
               y);
      }
    }
  }
  // alpha = max(alpha, value(x, y)) in the whole box, or in a smaller one.
  template <typename Value>
  void raise(const Value& value) {
    raise(value, x0_, y0_, x1_, y1_);
  }
  template <typename Value>
  void raise(const Value& value, int x0, int y0, int x1, int y1) {
    for (int y = y0 > y0_ ? y0 : y0_; y < (y1 < y1_ ? y1 : y1_); ++y)
      for (int x = x0 > x0_ ? x0 : x0_; x < (x1 < x1_ ? x1 : x1_); ++x) {
        float& a = at(x, y);
        a = maxf(a, value(static_cast<float>(x), static_cast<float>(y)));
      }
  }
  void times(const Plane& plane) {
    for (int y = y0_; y < y1_; ++y)
      for (int x = x0_; x < x1_; ++x)
        at(x, y) *=
            plane[static_cast<size_t>(y) * static_cast<size_t>(size_) + static_cast<size_t>(x)];
  }
  // A line of this width from a to b, ends rounded.
  void stroke(Point a, Point b, float width, float opacity);

 private:
  float& at(int x, int y) { return alpha_[static_cast<size_t>((y - y0_) * (x1_ - x0_) + x - x0_)]; }
  float at(int x, int y) const {
    return alpha_[static_cast<size_t>((y - y0_) * (x1_ - x0_) + x - x0_)];
  }

  int size_, x0_, y0_, x1_, y1_;
  Plane alpha_;
};

// A spot with a ragged outline; `softness` 0: crisp, 1: fades from its centre.
Stamp blob(int size, const Noise& noise, Rng& rng, Point centre, float radius, float softness);
// A turned rectangle or ellipse.
Stamp patch(int size, Rng& rng, Point centre, float radius);
// A line that wanders; `branches` side lines.
Stamp wandering_line(int size, Rng& rng, Point start, float length, float width, float wander,
                     int branches);

}  // namespace acd::datagen
