/* The generator for C and ctypes. Functions are thread-safe and keep no state. */
#pragma once

#include <stdint.h>

#if defined(__GNUC__)
#define ACD_DATAGEN_API __attribute__((visibility("default")))
#else
#define ACD_DATAGEN_API
#endif

#ifdef __cplusplus
extern "C" {
#endif

typedef struct {
  uint64_t seed;
  uint64_t index;
  int32_t size;          /* side, 32 to 1024 */
  int32_t class_id;      /* -1: drawn */
  int32_t defect;        /* -1: drawn, -2: none */
  int32_t split;         /* classes to draw from. 0: all, 1: training, 2: held out */
  float abnormal_ratio;  /* of drawn defects */
  int32_t shared_design; /* 1: colours and structure depend on (seed, class) alone */
  /* NULL, or size * size * 3 bytes for each sample: pictures that take the place of drawn scenes;
     class_id and split do not count then, and the label's class_id is -3. */
  const uint8_t* photographs;
} acd_datagen_request;

typedef struct {
  int32_t class_id;
  int32_t label;  /* 1: abnormal */
  int32_t defect; /* -1: none */
  int32_t area;   /* pixels of the mask */
} acd_datagen_label;

/* rgb: size * size * 3 bytes; mask: size * size bytes, 0 or 255; clean: NULL or like rgb, the twin
   without defect. Returns 0; 1: an argument out of range; 2: out of memory. */
ACD_DATAGEN_API int acd_datagen_sample(const acd_datagen_request* request, uint8_t* rgb,
                                       uint8_t* mask, uint8_t* clean, acd_datagen_label* label);
/* `count` samples of indices request->index, + 1, ...; pictures follow one another. */
ACD_DATAGEN_API int acd_datagen_batch(const acd_datagen_request* request, int32_t count,
                                      uint8_t* rgb, uint8_t* mask, uint8_t* clean,
                                      acd_datagen_label* labels);

ACD_DATAGEN_API int acd_datagen_class_count(void);
/* NULL for an id that does not exist. */
ACD_DATAGEN_API const char* acd_datagen_class_name(int32_t class_id);
ACD_DATAGEN_API const char* acd_datagen_class_noun(int32_t class_id);
ACD_DATAGEN_API int acd_datagen_class_held_out(int32_t class_id);
ACD_DATAGEN_API int acd_datagen_class_is_object(int32_t class_id);
ACD_DATAGEN_API int acd_datagen_defect_count(void);
ACD_DATAGEN_API const char* acd_datagen_defect_name(int32_t defect);

#ifdef __cplusplus
}
#endif
