// From surface to pixels: one light, a lens, a sensor.
#pragma once

#include <cstdint>

#include "datagen/surface.h"

namespace acd::datagen {

// Rows [first, last) of a picture.
struct Rows {
  int first, last;
};

struct Picture {
  Plane r, g, b;
};

struct Camera {
  float lx, ly, lz;        // towards the light
  float ambient;           // share of light without direction
  float highlight;         // strength of highlights
  int hardness;            // the highlight is cos^(2^hardness)
  float slope_x, slope_y;  // brightness gradient across the picture
  float vignette;
  float tone_r, tone_g, tone_b;
  float contrast, brightness;
  int blur;          // binomial passes
  bool soft_colour;  // colour at half resolution, as JPEG keeps it
  bool grey;
  int border;   // 0 none, 1 round, 2 cut corners: what endoscopes show around the picture
  float noise;  // of the sensor, in 1/255
  uint64_t noise_key;
};

// `design` decides what one camera has for all pictures of a class, `pose` what varies.
Camera make_camera(Rng& design, Rng& pose, float px, bool endoscope, bool often_grey);

// Everything but the sensor's noise: 0..1. Other rows than these are left at 0.
Picture expose(const Surface& surface, const Camera& camera, Rows rows);

// The rows that must be exposed so that `changed` rows of the surface come out right, and those of
// them in which the picture may change. Both even: colour is softened in pairs.
struct Reach {
  Rows exposed, affected;
};
Reach reach_of(Rows changed, const Camera& camera, int size);

// Adds the noise; equal pictures and cameras give equal bytes. rgb: size * size * 3.
void quantise(const Picture& picture, const Camera& camera, int size, Rows rows, uint8_t* rgb);

}  // namespace acd::datagen
