// Damage, as edits of a surface.
#pragma once

#include "datagen/scene.h"

namespace acd::datagen {

struct Damage {
  Surface& surface;
  const Noise& noise;
  Rng& rng;
  float px;        // pixels per 1/256 of the side
  float strength;  // 0 hardly visible, 1 plain
};

// Applies one defect at a random place of the inspected thing. What it changes may turn out
// invisible; the caller looks at the pictures.
void apply_defect(int kind, const Damage& damage);

}  // namespace acd::datagen
