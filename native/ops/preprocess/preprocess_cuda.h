// preprocess on CUDA: resize_bicubic_u8 and normalisation with the bits of preprocess.h, straight
// into the rows of the patch product (patchify.h) where they are asked for. All pointers are device
// pointers; the axes' tables are resize.h's bicubic_axis, uploaded by the caller.
#pragma once

#include <cstddef>
#include <cstdint>

#include "backend/cuda/cuda_launch.h"
#include "backend/cuda/numbers.h"

namespace acd {

int preprocess_cuda(const CudaLaunch& cuda, const PreprocessParams& p);

namespace cuda {

struct PreprocessArgs {
  const uint8_t* src;  // [h, w, 3]
  int w;
  int h;
  DeviceAxis horizontal;  // w -> size
  DeviceAxis vertical;    // h -> size
  uint8_t* middle;        // preprocess_scratch_bytes
  int size;
  int patch;  // 0: out is [3, size, size]; otherwise [g * g, 3 * patch * patch], g = size / patch
  void* out;
  Number out_type;  // kF32 or kBf16
};

// Of the picture between the two passes; 0 where one pass is enough.
size_t preprocess_scratch_bytes(int w, int h, int size);

// Returns cudaError_t.
int preprocess(void* stream, const PreprocessArgs& a);

}  // namespace cuda
}  // namespace acd
