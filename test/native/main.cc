// One program for every op test. ACD_CLIP_ISA picks the kernels, ACD_CLIP_BF16 who multiplies in
// bf16, ACD_TEST_DEVICE the device; what this machine lacks ends with 77, which CTest counts as
// skipped.
#define DOCTEST_CONFIG_IMPLEMENT
#include <doctest/doctest.h>

#include <cstdio>
#include <cstring>

#include "backend/cpu/isa.h"
#include "emulated_cuda.h"
#include "op_test.h"

int main(int argc, char** argv) {
  acd::Status status = acd::select_isa_from_environment();
  if (!status.ok()) {
    std::fprintf(stderr, "%s\n", status.message().c_str());
    return 77;
  }
  if (acd::bf16_by_onednn() && !acd::has_bf16()) {
    std::fprintf(stderr, "no products in bf16: %s\n", acd::bf16_reason().c_str());
    return 77;
  }
  const char* device = acd::test::test_device_name();
  if (*device == 0) {
    std::fprintf(stderr, "ACD_TEST_DEVICE must be cpu or cuda-emulated\n");
    return 1;
  }
  std::printf("device: %s, instruction set: %s%s\n", device, acd::isa_name(acd::current_isa()),
              acd::bf16_by_onednn() ? ", bf16 by oneDNN" : "");
  doctest::Context context(argc, argv);
  if (std::strcmp(device, "cuda-emulated") == 0) {
    if (!acd::test::kCanEmulateCuda) return 77;
    // The ops with kernels, and the emulator itself. int8 is the CPU's alone.
    context.addFilter("source-file-exclude", "*_int8_test.cc");
    context.addFilter("source-file", "*cuda_emulator_test.cc");
    for (const char* op : acd::test::kCudaOps) {
      context.addFilter("source-file", ("*ops/" + std::string(op) + "/*").c_str());
    }
  } else {
    context.addFilter("source-file-exclude", "*cuda_emulator_test.cc");
    context.addFilter("source-file-exclude", "*_cuda_test.cc");
  }
  const int failed = context.run();
  acd::test::print_worst_errors();
  return failed;
}
