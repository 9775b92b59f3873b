// The table of classes: each is a family of appearances drawn by one function.
#pragma once

#include <cstdint>

#include "datagen/noise.h"

namespace acd::datagen {

// A fault of the structure itself (a missing tooth, a pulled thread). A renderer that knows how
// draws the very same scene with the fault in it.
struct Fault {
  bool active = false;
  int variant = 0;     // 0: a part is missing; 1: a part is bent, doubled or shifted
  float a = 0, b = 0;  // which part, in 0..1
  float strength = 0;  // 0..1
};

struct Scene {
  Rng design;  // colours and structure; one for all samples of a class if they share a design
  Rng pose;    // placement and benign variation of this sample
  const Noise& noise;
  float px;  // pixels per 1/256 of the side
  Fault fault;
  const uint8_t* photograph = nullptr;  // draw_photograph's own: size * size * 3
};

enum DefectKind : int {
  kScratch,
  kCrack,
  kDent,
  kStain,
  kHole,
  kMissingPart,
  kBentPart,
  kContamination,
  kMisprint,
  kCutPaste,
  kThreadFault,
  kChip,
  kBurn,
  kSwelling,
  kSmear,
  kDefectCount,
};

const char* defect_name(int kind);

struct ClassInfo {
  const char* name;
  const char* noun;
  void (*draw)(Scene& scene, Surface& surface);
  bool is_object;
  bool held_out;        // kept aside from training
  unsigned structural;  // bit per DefectKind that `draw` can make by Fault
};

int class_count();
constexpr int kPhotograph = -3;  // not in the table: a picture that the caller brings is the scene
const ClassInfo& class_info(int id);

// Textures.
void draw_woven_fabric(Scene&, Surface&);
void draw_carpet(Scene&, Surface&);
void draw_knit(Scene&, Surface&);
void draw_mesh(Scene&, Surface&);
void draw_wood(Scene&, Surface&);
void draw_leather(Scene&, Surface&);
void draw_paper(Scene&, Surface&);
void draw_foam(Scene&, Surface&);
void draw_ceramic_tile(Scene&, Surface&);
void draw_marble(Scene&, Surface&);
void draw_concrete(Scene&, Surface&);
void draw_painted_surface(Scene&, Surface&);
void draw_brushed_metal(Scene&, Surface&);
void draw_metal_plate(Scene&, Surface&);
void draw_soft_tissue(Scene&, Surface&);
// Objects.
void draw_pill(Scene&, Surface&);
void draw_capsule(Scene&, Surface&);
void draw_button(Scene&, Surface&);
void draw_coin(Scene&, Surface&);
void draw_bottle(Scene&, Surface&);
void draw_metal_nut(Scene&, Surface&);
void draw_washer(Scene&, Surface&);
void draw_gear(Scene&, Surface&);
void draw_screw(Scene&, Surface&);
void draw_circuit_board(Scene&, Surface&);
void draw_cable(Scene&, Surface&);
void draw_toothbrush(Scene&, Surface&);
void draw_comb(Scene&, Surface&);
void draw_cookie(Scene&, Surface&);
void draw_seed(Scene&, Surface&);
void draw_fruit(Scene&, Surface&);
// A picture from elsewhere, as a flat surface.
void draw_photograph(Scene&, Surface&);

}  // namespace acd::datagen
