// Counts how often the test program takes a large block of memory from operator new.
#pragma once

#include <cstddef>
#include <cstdint>

namespace acd::test {

// Calls for at least kLargeBytes, on any thread, since the program began.
constexpr size_t kLargeBytes = 4096;
int64_t large_allocations();

}  // namespace acd::test
