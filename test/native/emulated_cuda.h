// The CUDA kernels as a backend without a GPU: each op launches the real kernel sources on the
// emulator, with the memory of the process as the device's. Products, cuBLASLt's work on a GPU, are
// the reference's.
#pragma once

#include <memory>

#include "backend/device.h"

namespace acd::test {

#if defined(__SANITIZE_THREAD__)
constexpr bool kCanEmulateCuda = false;  // it does not follow switches of stacks
#else
constexpr bool kCanEmulateCuda = true;
#endif

// The ops of its table.
constexpr const char* kCudaOps[] = {
    "assemble_tokens", "attention", "conv_tokens", "fuse_map", "gate",      "gather_tokens", "head",
    "layer_norm",      "linear",    "lora_blend",  "patchify", "preprocess"};

// The order in which threads of kernels take turns from now on; 1 to any number (cuda_emulator.h).
void set_thread_order(int order);

Result<std::shared_ptr<Device>> make_emulated_cuda_device(int order);

}  // namespace acd::test
