#include "datagen/scene.h"

namespace acd::datagen {
namespace {

constexpr unsigned bit(DefectKind kind) { return 1u << kind; }
constexpr unsigned kThread = bit(kThreadFault);
constexpr unsigned kParts = bit(kMissingPart) | bit(kBentPart);

// Ids are positions: append only, or samples of a seed change their class.
constexpr ClassInfo kClasses[] = {
    {"woven_fabric", "woven fabric", draw_woven_fabric, false, false, kThread},
    {"carpet", "carpet", draw_carpet, false, false, 0},
    {"knit", "knitted fabric", draw_knit, false, true, kThread},
    {"mesh", "metal or plastic mesh", draw_mesh, false, false, kThread | kParts},
    {"wood", "wood surface", draw_wood, false, false, 0},
    {"leather", "leather", draw_leather, false, true, 0},
    {"paper", "paper", draw_paper, false, false, 0},
    {"foam", "plastic foam", draw_foam, false, false, 0},
    {"ceramic_tile", "speckled tile surface", draw_ceramic_tile, false, false, 0},
    {"marble", "marble", draw_marble, false, true, 0},
    {"concrete", "concrete surface", draw_concrete, false, false, 0},
    {"painted_surface", "painted surface", draw_painted_surface, false, false, 0},
    {"brushed_metal", "brushed metal", draw_brushed_metal, false, false, 0},
    {"metal_plate", "metal plate", draw_metal_plate, false, false, 0},
    {"soft_tissue", "soft tissue", draw_soft_tissue, false, false, 0},
    {"pill", "pill", draw_pill, true, false, 0},
    {"capsule", "capsule", draw_capsule, true, true, 0},
    {"button", "button", draw_button, true, false, kParts},
    {"coin", "coin", draw_coin, true, true, 0},
    {"bottle", "bottle seen from above", draw_bottle, true, false, 0},
    {"metal_nut", "metal nut", draw_metal_nut, true, false, kParts},
    {"washer", "metal washer", draw_washer, true, false, 0},
    {"gear", "gear wheel", draw_gear, true, true, kParts},
    {"screw", "screw", draw_screw, true, false, kParts},
    {"circuit_board", "printed circuit board", draw_circuit_board, true, false, kParts},
    {"cable", "cable cross-section", draw_cable, true, false, kParts},
    {"toothbrush", "toothbrush head", draw_toothbrush, true, false, kParts},
    {"comb", "comb", draw_comb, true, true, kParts},
    {"cookie", "cookie", draw_cookie, true, true, 0},
    {"seed", "nut in its shell", draw_seed, true, false, 0},
    {"fruit", "fruit", draw_fruit, true, false, 0},
};

constexpr ClassInfo kPhotographInfo = {"photograph", "surface", draw_photograph, false, false, 0};

constexpr const char* kDefects[] = {
    "scratch",      "crack",     "dent",          "stain",    "hole",
    "missing_part", "bent_part", "contamination", "misprint", "cut_paste",
    "thread_fault", "chip",      "burn",          "swelling", "smear",
};
static_assert(sizeof kDefects / sizeof *kDefects == kDefectCount, "a name per kind");

}  // namespace

int class_count() { return static_cast<int>(sizeof kClasses / sizeof *kClasses); }
const ClassInfo& class_info(int id) { return id == kPhotograph ? kPhotographInfo : kClasses[id]; }
const char* defect_name(int kind) { return kDefects[kind]; }

}  // namespace acd::datagen
