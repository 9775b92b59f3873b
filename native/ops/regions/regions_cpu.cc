#include <algorithm>
#include <cmath>

#include "ops/regions/regions.h"

namespace acd {
namespace {

constexpr int kMaxSide = 1 << 20;
constexpr int64_t kMaxPixels = int64_t{1} << 30;

// Labels are 1-based; 0 is background. parent[l] <= l, and a root is its own parent.
struct Labels {
  int w;
  int h;
  std::vector<int32_t> at;
  std::vector<int32_t> parent{0};

  int32_t root(int32_t l) {
    while (parent[l] != l) l = parent[l] = parent[parent[l]];
    return l;
  }
  int32_t join(int32_t a, int32_t b) {
    a = root(a), b = root(b);
    return a < b ? parent[b] = a : parent[a] = b;
  }
};

// First pass: provisional labels from the row's left and the row above, with equivalences.
Labels label_pixels(const float* map, int w, int h, float threshold) {
  Labels labels{w, h, std::vector<int32_t>(static_cast<size_t>(w) * h)};
  for (int y = 0; y < h; ++y) {
    const size_t row = static_cast<size_t>(y) * w;
    int32_t* here = labels.at.data() + row;
    const int32_t* above = here - w;
    for (int x = 0; x < w; ++x) {
      if (!(map[row + x] >= threshold)) continue;
      int32_t l = x > 0 ? here[x - 1] : 0;
      if (y > 0) {
        for (int i = std::max(x - 1, 0); i <= std::min(x + 1, w - 1); ++i) {
          if (above[i] != 0) l = l == 0 || l == above[i] ? above[i] : labels.join(l, above[i]);
        }
      }
      if (l == 0) {
        l = static_cast<int32_t>(labels.parent.size());
        labels.parent.push_back(l);
      }
      here[x] = l;
    }
  }
  return labels;
}

struct Component {
  int32_t label;
  int first_x;  // the first pixel in row order
  int first_y;
  int x0, x1, y1;  // y0 is first_y
  int64_t area = 0;
  float score;
  double sum = 0, sum_x = 0, sum_y = 0;
};

// Second pass: final labels, and the figures of every component in order of its first pixel.
std::vector<Component> measure(const float* map, Labels* labels) {
  std::vector<int32_t> index(labels->parent.size(), -1);
  std::vector<Component> components;
  for (int y = 0; y < labels->h; ++y) {
    const size_t row = static_cast<size_t>(y) * labels->w;
    for (int x = 0; x < labels->w; ++x) {
      int32_t& label = labels->at[row + x];
      if (label == 0) continue;
      label = labels->root(label);
      const float v = map[row + x];
      if (index[label] < 0) {
        index[label] = static_cast<int32_t>(components.size());
        components.push_back({label, x, y, x, x, y, 0, v});
      }
      Component& c = components[index[label]];
      c.x0 = std::min(c.x0, x);
      c.x1 = std::max(c.x1, x);
      c.y1 = y;
      c.area += 1;
      c.score = std::max(c.score, v);
      c.sum += v;
      c.sum_x += x + 0.5;
      c.sum_y += y + 0.5;
    }
  }
  return components;
}

// Keeps the best `limit` components of at least min_area pixels, in the order of the contract.
void select_best(std::vector<Component>* components, int64_t min_area, int limit) {
  const auto too_small = [&](const Component& c) { return c.area < min_area; };
  components->erase(std::remove_if(components->begin(), components->end(), too_small),
                    components->end());
  const auto before = [](const Component& a, const Component& b) {
    if (a.score != b.score) return a.score > b.score;
    if (a.area != b.area) return a.area > b.area;
    return a.first_y != b.first_y ? a.first_y < b.first_y : a.first_x < b.first_x;
  };
  if (components->size() > static_cast<size_t>(limit)) {
    std::nth_element(components->begin(), components->begin() + limit, components->end(), before);
    components->resize(limit);
  }
  std::sort(components->begin(), components->end(), before);
}

// Walks the corners with the region on the right. At a corner, the pixel ahead on the left decides
// first: taking it keeps pixels that touch by a corner in one outline. The walk starts with nothing
// of the region above it, so it comes back to its start exactly once.
std::vector<int32_t> trace_outline(const Labels& labels, const Component& c) {
  const int dx[4] = {1, 0, -1, 0}, dy[4] = {0, 1, 0, -1};  // right, down, left, up
  // The pixel ahead on the left of a corner, per direction, relative to the corner.
  const int lx[4] = {0, 0, -1, -1}, ly[4] = {-1, 0, 0, -1};
  const auto inside = [&](int x, int y) {
    return x >= 0 && y >= 0 && x < labels.w && y < labels.h &&
           labels.at[static_cast<size_t>(y) * labels.w + x] == c.label;
  };
  std::vector<int32_t> polygon{c.first_x, c.first_y};
  int x = c.first_x + 1, y = c.first_y, d = 0;
  while (x != c.first_x || y != c.first_y) {
    const int right = (d + 1) & 3;
    int turn = d;
    if (inside(x + lx[d], y + ly[d])) {
      turn = (d + 3) & 3;
    } else if (!inside(x + lx[right], y + ly[right])) {
      turn = right;
    }
    if (turn != d) polygon.insert(polygon.end(), {x, y});
    d = turn;
    x += dx[d];
    y += dy[d];
  }
  return polygon;
}

Region to_region(const Labels& labels, const Component& c) {
  Region r;
  r.x = c.x0;
  r.y = c.first_y;
  r.width = c.x1 - c.x0 + 1;
  r.height = c.y1 - c.first_y + 1;
  r.area = c.area;
  r.score = c.score;
  r.mean = c.sum / c.area;
  r.cx = c.sum_x / c.area;
  r.cy = c.sum_y / c.area;
  r.polygon = trace_outline(labels, c);
  return r;
}

}  // namespace

Status find_regions(const float* map, int w, int h, float threshold, int64_t min_area,
                    std::vector<Region>* regions, int max_regions) {
  if (w < 1 || h < 1 || w > kMaxSide || h > kMaxSide || int64_t{w} * h > kMaxPixels) {
    return Status(Code::kInvalidArg,
                  "Expected a map of 1 to 2^30 pixels for regions but received " +
                      std::to_string(w) + " x " + std::to_string(h));
  }
  if (!std::isfinite(threshold)) {
    return Status(Code::kInvalidArg, "Expected a finite threshold for regions");
  }
  if (min_area < 1 || max_regions < 1) {
    return Status(Code::kInvalidArg,
                  "Expected at least 1 for the smallest area and the number of regions");
  }
  Labels labels = label_pixels(map, w, h, threshold);
  std::vector<Component> components = measure(map, &labels);
  select_best(&components, min_area, max_regions);
  regions->clear();
  regions->reserve(components.size());
  for (const Component& c : components) regions->push_back(to_region(labels, c));
  return Status();
}

}  // namespace acd
