// One labelled picture from (seed, index).
#pragma once

#include <cstdint>

#include "datagen/scene.h"

namespace acd::datagen {

constexpr int kMinSize = 32;
constexpr int kMaxSize = 1024;
constexpr int kDrawn = -1;   // of class_id and defect: let the seed choose
constexpr int kNormal = -2;  // of defect: none

enum Split : int { kAllClasses = 0, kTraining = 1, kHeldOut = 2 };

struct Request {
  uint64_t seed = 0;
  uint64_t index = 0;
  int size = 256;
  int class_id = kDrawn;
  int defect = kDrawn;
  int split = kAllClasses;      // among which classes to draw
  float abnormal_ratio = 0.5f;  // for a drawn defect
  bool shared_design = false;   // colours and structure depend on (seed, class) alone
  // size * size * 3, or null. When given it is the scene, class_id and split do not count, and the
  // label's class is kPhotograph.
  const uint8_t* photograph = nullptr;
};

struct Label {
  int class_id = 0;
  int label = 0;    // 1: abnormal
  int defect = -1;  // the first defect's kind; -1 when normal
  int area = 0;     // pixels of the mask
};

// rgb: size * size * 3; mask: size * size, 0 or 255; clean, when wanted, the same picture without
// the defect, noise included. A mask pixel is one where rgb and clean differ.
// Any thread; no state.
Label generate(const Request& request, uint8_t* rgb, uint8_t* mask, uint8_t* clean);

// The smallest mask of an abnormal picture.
int least_area(int size);

}  // namespace acd::datagen
