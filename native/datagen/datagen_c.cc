#include "datagen/datagen_c.h"

#include "datagen/generate.h"

namespace dg = acd::datagen;

namespace {

bool known_class(int32_t id) { return id >= 0 && id < dg::class_count(); }

bool valid(const acd_datagen_request* q) {
  return q && q->size >= dg::kMinSize && q->size <= dg::kMaxSize &&
         (q->class_id == dg::kDrawn || known_class(q->class_id)) && q->defect >= dg::kNormal &&
         q->defect < dg::kDefectCount && q->split >= 0 && q->split <= 2 && q->abnormal_ratio >= 0 &&
         q->abnormal_ratio <= 1;
}

}  // namespace

int acd_datagen_sample(const acd_datagen_request* q, uint8_t* rgb, uint8_t* mask, uint8_t* clean,
                       acd_datagen_label* label) {
  return acd_datagen_batch(q, 1, rgb, mask, clean, label);
}

int acd_datagen_batch(const acd_datagen_request* q, int32_t count, uint8_t* rgb, uint8_t* mask,
                      uint8_t* clean, acd_datagen_label* labels) {
  if (!valid(q) || count < 0 || !rgb || !mask || !labels) return 1;
  const size_t pixels = static_cast<size_t>(q->size) * static_cast<size_t>(q->size);
  // No exception may pass to a C caller; only allocations throw here.
  try {
    for (int32_t k = 0; k < count; ++k) {
      const size_t at = static_cast<size_t>(k) * pixels;
      const dg::Label made =
          dg::generate({q->seed, q->index + static_cast<uint64_t>(k), q->size, q->class_id,
                        q->defect, q->split, q->abnormal_ratio, q->shared_design != 0,
                        q->photographs ? q->photographs + 3 * at : nullptr},
                       rgb + 3 * at, mask + at, clean ? clean + 3 * at : nullptr);
      labels[k] = {made.class_id, made.label, made.defect, made.area};
    }
  } catch (...) {
    return 2;
  }
  return 0;
}

int acd_datagen_class_count(void) { return dg::class_count(); }
const char* acd_datagen_class_name(int32_t id) {
  return known_class(id) ? dg::class_info(id).name : nullptr;
}
const char* acd_datagen_class_noun(int32_t id) {
  return known_class(id) ? dg::class_info(id).noun : nullptr;
}
int acd_datagen_class_held_out(int32_t id) {
  return known_class(id) && dg::class_info(id).held_out;
}
int acd_datagen_class_is_object(int32_t id) {
  return known_class(id) && dg::class_info(id).is_object;
}
int acd_datagen_defect_count(void) { return dg::kDefectCount; }
const char* acd_datagen_defect_name(int32_t id) {
  return id >= 0 && id < dg::kDefectCount ? dg::defect_name(id) : nullptr;
}
