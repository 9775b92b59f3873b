#include "datagen/generate.h"

#include <cstring>

#include "datagen/camera.h"
#include "datagen/defects.h"

namespace acd::datagen {
namespace {

enum Stream : uint64_t { kChoice = 1, kDesign, kSample, kScene, kTexture, kCamera, kDefects };

int draw_class(int split, Rng& rng) {
  for (;;) {
    const int id = rng.below(class_count());
    if (split == kAllClasses || class_info(id).held_out == (split == kHeldOut)) return id;
  }
}

// What the classes of one seed have in common, and this sample alone.
struct Streams {
  Rng design;
  Rng sample;
};

Streams streams_of(const Request& q, int class_id) {
  const Rng of_class = Rng(q.seed).fork(static_cast<uint64_t>(class_id));
  const Rng sample = of_class.fork(q.index).fork(kSample);
  return {q.shared_design ? of_class.fork(kDesign) : sample.fork(kDesign), sample};
}

Surface draw(const Request& q, int class_id, const Noise& noise, const Fault& fault) {
  const Streams streams = streams_of(q, class_id);
  Scene scene{streams.design.fork(kScene),
              streams.sample.fork(kScene),
              noise,
              static_cast<float>(q.size) / 256.0f,
              fault,
              q.photograph};
  Surface surface(q.size);
  class_info(class_id).draw(scene, surface);
  return surface;
}

// Automatic exposure: very dark and very bright scenes are brought half way back. A few rows tell.
void set_exposure(const Surface& f, Camera& camera) {
  float sum = 0;
  int seen = 0;
  for (size_t i = 0; i < f.count(); i += 29, ++seen) sum += luma(f.color(i));
  const float mean = maxf(sum / static_cast<float>(seen), 0.01f);
  const float wanted = clampf(mean, 0.28f, 0.62f);
  const float gain = 0.5f + 0.5f * minf(wanted / mean, 4.0f);
  camera.tone_r *= gain, camera.tone_g *= gain, camera.tone_b *= gain;
}

Camera camera_of(const Request& q, int class_id, const Surface& surface) {
  const Streams streams = streams_of(q, class_id);
  Rng design = streams.design.fork(kCamera), pose = streams.sample.fork(kCamera);
  const auto drawn_by = class_info(class_id).draw;
  Camera camera = make_camera(design, pose, static_cast<float>(q.size) / 256.0f,
                              drawn_by == draw_soft_tissue, drawn_by == draw_metal_plate);
  set_exposure(surface, camera);
  return camera;
}

float difference(const Picture& a, const Picture& b, size_t i) {
  return maxf(maxf(absf(a.r[i] - b.r[i]), absf(a.g[i] - b.g[i])), absf(a.b[i] - b.b[i]));
}

// A pixel belongs to the mask if it differs in the finished pictures and its neighbourhood, on
// average, differs visibly: so shading that crosses zero inside a dent leaves no holes, and a lone
// rounding does not count.
int mask_changes(const Picture& clean, const Picture& bad, const Camera& camera, int size,
                 Rows rows, const uint8_t* before, const uint8_t* after, uint8_t* mask) {
  const size_t width = static_cast<size_t>(size);
  const size_t first = static_cast<size_t>(rows.first) * width;
  const size_t count = static_cast<size_t>(rows.last - rows.first) * width;
  const float visible = (4.0f + 0.8f * camera.noise) / 255.0f;
  Plane change(count);
  bool any = false;
  for (size_t i = 0; i < count; ++i) {
    change[i] = difference(clean, bad, first + i);
    any = any || change[i] > 2.5f * visible;
  }
  if (!any) return 0;
  // Beyond the rows nothing changes; beyond the picture, its edge goes on.
  const auto at = [&](int x, int y) {
    const int cx = x < 0 ? 0 : x >= size ? size - 1 : x, cy = y < 0 ? 0 : y >= size ? size - 1 : y;
    if (cy < rows.first || cy >= rows.last) return 0.0f;
    return change[static_cast<size_t>(cy - rows.first) * width + static_cast<size_t>(cx)];
  };
  int area = 0;
  for (int y = rows.first; y < rows.last; ++y) {
    for (int x = 0; x < size; ++x) {
      const size_t i = static_cast<size_t>(y) * width + static_cast<size_t>(x);
      if (std::memcmp(before + 3 * i, after + 3 * i, 3) == 0) continue;
      const float around =
          0.25f * at(x, y) + 0.125f * (at(x - 1, y) + at(x + 1, y) + at(x, y - 1) + at(x, y + 1)) +
          0.0625f * (at(x - 1, y - 1) + at(x + 1, y - 1) + at(x - 1, y + 1) + at(x + 1, y + 1));
      if (around < visible) continue;
      mask[i] = 255;
      ++area;
    }
  }
  return area;
}

// The rows in which two surfaces of one size differ; empty if they do not.
Rows changed_rows(const Surface& a, const Surface& b) {
  const size_t bytes = static_cast<size_t>(a.size) * sizeof(float);
  const auto same = [&](int y) {
    const size_t i = a.at(0, y);
    for (const auto plane :
         {&Surface::r, &Surface::g, &Surface::b, &Surface::height, &Surface::gloss})
      if (std::memcmp(&(a.*plane)[i], &(b.*plane)[i], bytes) != 0) return false;
    return true;
  };
  Rows rows{0, a.size};
  while (rows.first < rows.last && same(rows.first)) ++rows.first;
  while (rows.first < rows.last && same(rows.last - 1)) --rows.last;
  return rows;
}

// The surface with 1 to 3 defects of which the first is of this kind.
Surface damaged(const Request& q, const Surface& clean, int class_id, const Noise& noise, int kind,
                float effort, Rng rng) {
  const ClassInfo& info = class_info(class_id);
  Fault fault;
  fault.a = rng.uniform(), fault.b = rng.uniform(),
  fault.strength = clamp01(rng.uniform() + effort);
  fault.variant = kind == kMissingPart ? 0 : kind == kBentPart ? 1 : rng.below(2);
  fault.active = (info.structural >> kind & 1u) != 0 && rng.chance(0.65f);
  Surface bad = fault.active ? draw(q, class_id, noise, fault) : clean;
  const int count = rng.chance(0.75f) ? 1 : 2 + rng.below(2);
  for (int n = fault.active ? 1 : 0; n < count; ++n) {
    const int which = n == 0 || rng.chance(0.6f) ? kind : rng.below(kDefectCount);
    Rng own = rng.fork(static_cast<uint64_t>(100 + n));
    const float strength = clamp01(own.uniform() + effort);
    apply_defect(which, {bad, noise, own, static_cast<float>(q.size) / 256.0f, strength});
  }
  return bad;
}

}  // namespace

int least_area(int size) {
  const int share = size * size / 4000;
  return share > 6 ? share : 6;
}

Label generate(const Request& q, uint8_t* rgb, uint8_t* mask, uint8_t* clean) {
  const size_t count = static_cast<size_t>(q.size) * static_cast<size_t>(q.size);
  Rng choice = Rng(q.seed).fork(q.index).fork(kChoice);
  Label out;
  const int drawn = draw_class(q.split, choice);
  out.class_id = q.photograph ? kPhotograph : q.class_id == kDrawn ? drawn : q.class_id;
  const bool abnormal = choice.uniform() < q.abnormal_ratio;
  const int drawn_kind = choice.below(kDefectCount);
  const Noise noise(streams_of(q, out.class_id).sample.fork(kTexture));
  const Surface surface = draw(q, out.class_id, noise, {});
  const Camera camera = camera_of(q, out.class_id, surface);
  const Rows all{0, q.size};
  const Picture picture = expose(surface, camera, all);
  std::vector<uint8_t, Recycled<uint8_t>> own_clean;
  if (!clean) own_clean.resize(3 * count), clean = own_clean.data();
  quantise(picture, camera, q.size, all, clean);
  std::memcpy(rgb, clean, 3 * count);
  std::memset(mask, 0, count);
  const bool wanted = q.defect >= 0 || (q.defect == kDrawn && abnormal);
  // Invisible damage is tried again elsewhere, plainer each time; after six, as another kind.
  for (int attempt = 0; wanted && attempt < 16; ++attempt) {
    Rng rng =
        streams_of(q, out.class_id).sample.fork(kDefects).fork(static_cast<uint64_t>(attempt));
    const int kind =
        attempt < 6 ? (q.defect >= 0 ? q.defect : drawn_kind) : rng.below(kDefectCount);
    const Surface bad =
        damaged(q, surface, out.class_id, noise, kind, 0.12f * static_cast<float>(attempt), rng);
    const Rows changed = changed_rows(surface, bad);
    if (changed.first == changed.last) continue;
    const Reach reach = reach_of(changed, camera, q.size);
    const Picture after = expose(bad, camera, reach.exposed);
    quantise(after, camera, q.size, reach.affected, rgb);
    out.area = mask_changes(picture, after, camera, q.size, reach.affected, clean, rgb, mask);
    if (out.area >= least_area(q.size)) {
      out.label = 1, out.defect = kind;
      return out;
    }
    std::memcpy(rgb, clean, 3 * count);
    std::memset(mask, 0, count);
  }
  out.area = 0;
  return out;
}

}  // namespace acd::datagen
