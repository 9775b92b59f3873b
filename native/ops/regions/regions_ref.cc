#include <algorithm>

#include "ops/regions/regions.h"

namespace acd {
namespace {

// Every member pixel takes the smallest label among its neighbours, until nothing changes.
// `reach` 1 counts sides only, 2 also corners.
void spread(std::vector<int>* label, int w, int h, int reach) {
  for (bool changed = true; changed;) {
    changed = false;
    for (int y = 0; y < h; ++y) {
      for (int x = 0; x < w; ++x) {
        int& l = (*label)[y * w + x];
        if (l < 0) continue;
        for (int j = std::max(y - 1, 0); j <= std::min(y + 1, h - 1); ++j) {
          for (int i = std::max(x - 1, 0); i <= std::min(x + 1, w - 1); ++i) {
            const int n = (*label)[j * w + i];
            if (std::abs(i - x) + std::abs(j - y) <= reach && n >= 0 && n < l) {
              l = n;
              changed = true;
            }
          }
        }
      }
    }
  }
}

// The pixels that cannot walk by sides to the outside of the map without crossing the region.
std::vector<uint8_t> fill_holes(const std::vector<int>& label, int l, int w, int h) {
  const int fw = w + 2, fh = h + 2;  // a free frame, so that the outside is one piece
  std::vector<int> free_space(fw * fh);
  for (int i = 0; i < fw * fh; ++i) free_space[i] = i;
  for (int y = 0; y < h; ++y) {
    for (int x = 0; x < w; ++x) {
      if (label[y * w + x] == l) free_space[(y + 1) * fw + x + 1] = -1;
    }
  }
  spread(&free_space, fw, fh, 1);
  std::vector<uint8_t> filled(w * h);
  for (int y = 0; y < h; ++y) {
    for (int x = 0; x < w; ++x) filled[y * w + x] = free_space[(y + 1) * fw + x + 1] != 0;
  }
  return filled;
}

Region measure_one(const float* map, const std::vector<int>& label, int l, int w) {
  Region r;
  r.x = l % w;
  r.y = l / w;
  r.score = map[l];
  int right = 0, bottom = 0;
  for (size_t i = 0; i < label.size(); ++i) {
    if (label[i] != l) continue;
    const int x = static_cast<int>(i) % w, y = static_cast<int>(i) / w;
    r.x = std::min(r.x, x);
    right = std::max(right, x + 1);
    bottom = std::max(bottom, y + 1);
    r.area += 1;
    r.score = std::max(r.score, map[i]);
    r.mean += map[i];
    r.cx += x + 0.5;
    r.cy += y + 0.5;
  }
  r.width = right - r.x;
  r.height = bottom - r.y;
  r.mean /= r.area;
  r.cx /= r.area;
  r.cy /= r.area;
  return r;
}

}  // namespace

std::vector<RegionRef> find_regions_ref(const float* map, int w, int h, float threshold,
                                        int64_t min_area) {
  std::vector<int> label(w * h);
  for (int i = 0; i < w * h; ++i) label[i] = map[i] >= threshold ? i : -1;
  spread(&label, w, h, 2);
  std::vector<RegionRef> found;
  for (int i = 0; i < w * h; ++i) {
    if (label[i] != i) continue;
    Region r = measure_one(map, label, i, w);
    if (r.area >= min_area) found.push_back({r, fill_holes(label, i, w, h)});
  }
  // Stable: equal regions stay in row order of their first pixel.
  std::stable_sort(found.begin(), found.end(), [](const RegionRef& a, const RegionRef& b) {
    if (a.region.score != b.region.score) return a.region.score > b.region.score;
    return a.region.area > b.region.area;
  });
  return found;
}

}  // namespace acd
