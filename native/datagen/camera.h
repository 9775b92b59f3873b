// From surface to pixels: one light, a lens, a sensor.
#pragma once

#include <cstdint>

#include "datagen/surface.h"

namespace acd::datagen {

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

// Everything but the sensor's noise: 0..1.
Picture expose(const Surface& surface, const Camera& camera);

// Adds the noise; equal pictures and cameras give equal bytes. rgb: size * size * 3.
void quantise(const Picture& picture, const Camera& camera, int size, uint8_t* rgb);

}  // namespace acd::datagen
