// One program for every op test. ACD_CLIP_ISA picks the kernels; a level that this machine lacks
// ends with 77, which CTest counts as skipped.
#define DOCTEST_CONFIG_IMPLEMENT
#include <doctest/doctest.h>

#include <cstdio>

#include "backend/cpu/isa.h"
#include "op_test.h"

int main(int argc, char** argv) {
  acd::Status status = acd::select_isa_from_environment();
  if (!status.ok()) {
    std::fprintf(stderr, "%s\n", status.message().c_str());
    return 77;
  }
  std::printf("instruction set: %s\n", acd::isa_name(acd::current_isa()));
  doctest::Context context(argc, argv);
  const int failed = context.run();
  acd::test::print_worst_errors();
  return failed;
}
