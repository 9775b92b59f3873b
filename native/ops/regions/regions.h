// Connected regions of a map.
//
// map f32 [h, w]. A pixel belongs to a region when its value >= threshold (a NaN never does);
// pixels that touch by a side or a corner belong together (8-neighbourhood). Of each region with at
// least min_area pixels: its bounding box, area, greatest value, mean value (double sum in row
// order), centroid (mean of the pixels' centres, x + 0.5 and y + 0.5), and its outer outline:
// corners of pixels, clockwise as seen on a screen (y down), starting at the top left corner of the
// region's first pixel in row order, collinear points dropped, not closed by a repeated point.
// Holes have no outline of their own. Where two pixels touch by a corner alone, the outline passes
// that corner twice.
//
// Order: greatest value first, then greater area, then row order of the first pixel. Only the first
// max_regions of that order are returned. Time is linear in w * h (and in the outlines returned).
// Errors (kInvalidArg): sides outside 1..2^20 or more than 2^30 pixels, threshold not finite,
// min_area < 1, max_regions < 1.
// Source: Rosenfeld and Pfaltz 1966 (two passes with equivalences).
#pragma once

#include <cstdint>
#include <vector>

#include "core/status.h"

namespace acd {

constexpr int kMaxRegions = 1000;

struct Region {
  int x = 0;  // box, pixels of the map
  int y = 0;
  int width = 0;
  int height = 0;
  int64_t area = 0;  // pixels
  float score = 0;   // greatest value inside
  double mean = 0;
  double cx = 0;
  double cy = 0;
  std::vector<int32_t> polygon;  // x0, y0, x1, y1, ...
};

Status find_regions(const float* map, int w, int h, float threshold, int64_t min_area,
                    std::vector<Region>* regions, int max_regions = kMaxRegions);

// The meaning: labels spread until nothing changes, one scan of the map a region, and instead of
// the polygon the pixels that it must enclose (the region with its holes filled). Linked into tests
// only.
struct RegionRef {
  Region region;
  std::vector<uint8_t> filled;  // [h, w], 1 inside
};
std::vector<RegionRef> find_regions_ref(const float* map, int w, int h, float threshold,
                                        int64_t min_area);

}  // namespace acd
