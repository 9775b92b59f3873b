// What the emulator promises to the kernels' tests: CUDA's semantics where kernels rely on them,
// and a sentence where a kernel is wrong.
#include "cuda_emulator.h"

#include <doctest/doctest.h>

#include <cmath>
#include <limits>
#include <set>
#include <string>
#include <vector>

namespace {

using acd::emulator::EmulatorError;
using acd::emulator::launch;

#define SHARED(type, name, count) \
  type* const name =              \
      static_cast<type*>(acd::emulator::shared_array(__FILE__, __LINE__, sizeof(type) * (count)))

template <typename... Parameters>
std::string complaint(dim3 grid, dim3 block, void (*kernel)(Parameters...),
                      Parameters... arguments) {
  try {
    launch<Parameters...>(grid, block, 0, kernel, arguments...);
  } catch (const EmulatorError& e) {
    return e.what();
  }
  return "";
}

bool has(const std::string& text, const char* part) { return text.find(part) != std::string::npos; }

void note_indices(int* out) {
  const unsigned thread = threadIdx.x + blockDim.x * (threadIdx.y + blockDim.y * threadIdx.z);
  const unsigned block = blockIdx.x + gridDim.x * (blockIdx.y + gridDim.y * blockIdx.z);
  ++out[block * blockDim.x * blockDim.y * blockDim.z + thread];
}

void reverse_in_block(int* data) {
  SHARED(int, copy, 100);
  const int i = static_cast<int>(threadIdx.x);
  copy[i] = data[i];
  __syncthreads();
  data[i] = copy[99 - i];
}

void reverse_without_barrier(int* data) {
  SHARED(int, copy, 100);
  const int i = static_cast<int>(threadIdx.x);
  copy[i] = data[i];
  data[i] = copy[99 - i];
}

void exchange_in_warp(int* out) {
  const int lane = static_cast<int>(threadIdx.x % 32);
  int* mine = out + threadIdx.x * 6;
  mine[0] = __shfl_xor_sync(0xffffffffu, lane, 5);
  mine[1] = __shfl_sync(0xffffffffu, lane, 3, 8);
  mine[2] = __shfl_down_sync(0xffffffffu, lane, 30);
  mine[3] = static_cast<int>(__ballot_sync(0xffffffffu, lane % 3 == 0));
  mine[4] = __any_sync(0xffffffffu, lane == 17);
  mine[5] = __all_sync(0xffffffffu, lane != 17);
}

void exchange_in_halves(int* out) {
  const int lane = static_cast<int>(threadIdx.x);
  const unsigned mask = lane < 16 ? 0x0000ffffu : 0xffff0000u;
  int v = lane;
  // The halves take part a different number of times.
  for (int i = 0; i < (lane < 16 ? 1 : 3); ++i) v += __shfl_xor_sync(mask, v, 1);
  out[lane] = v;
}

void add_up(int* total) {
  atomicAdd(total, static_cast<int>(threadIdx.x));
  atomicMax(total + 1, static_cast<int>(threadIdx.x));
}

void some_end_early(int* out) {
  if (threadIdx.x >= 7) return;
  __syncthreads();
  out[threadIdx.x] = 1;
}

void wait_at_two_places() {
  if (threadIdx.x < 3) {
    __syncthreads();
  } else {
    __syncthreads();
  }
}

void leave_a_shuffle_waiting() {
  if (threadIdx.x % 32 == 9) {
    __syncthreads();
  } else {
    __shfl_xor_sync(0xffffffffu, 1, 1);
  }
}

void name_an_ended_lane() {
  if (threadIdx.x == 9) return;
  __syncwarp();
}

void meet_at_two_operations() {
  if (threadIdx.x == 9) {
    __ballot_sync(0xffffffffu, 1);
  } else {
    __syncwarp();
  }
}

void name_two_masks() { __syncwarp(threadIdx.x < 16 ? 0xffffu : 0xffffffffu); }

void write_beyond_shared() {
  SHARED(float, row, 32);
  row[threadIdx.x + 1] = 1;
}

void read_unwritten(float* out) {
  SHARED(float, row, 32);
  if (threadIdx.x != 5) row[threadIdx.x] = 1;
  __syncthreads();
  out[threadIdx.x] = row[threadIdx.x];
}

void copy_late(const int* from, int* out) {
  SHARED(int, to, 2);
  to[0] = to[1] = 0;
  acd::emulator::copy_async(&to[0], from, sizeof(int));
  acd::emulator::copy_async_commit();
  acd::emulator::copy_async(&to[1], from, sizeof(int));
  acd::emulator::copy_async_commit();
  out[0] = to[0];
  acd::emulator::copy_async_wait(1);
  out[1] = to[0];
  out[2] = to[1];
  acd::emulator::copy_async_wait(0);
  out[3] = to[1];
}

void use_the_stack(int* out) {
  volatile int big[3000];
  for (int i = 0; i < 3000; ++i) big[i] = i;
  __syncthreads();
  out[threadIdx.x] = big[threadIdx.x];
}

const int kOrders[] = {1, 2, 3, 8};

}  // namespace

TEST_CASE("every thread of every block runs once, in every order") {
  for (int order : kOrders) {
    acd::emulator::set_order(order);
    std::vector<int> count(3 * 2 * 2 * 5 * 4 * 3);
    launch<int*>({3, 2, 2}, {5, 4, 3}, 0, note_indices, count.data());
    for (int n : count) CHECK(n == 1);
  }
}

TEST_CASE("a barrier makes writes to shared memory seen, and a missing one shows in the order") {
  std::set<std::vector<int>> without;
  for (int order : kOrders) {
    acd::emulator::set_order(order);
    std::vector<int> data(100), other(100);
    for (int i = 0; i < 100; ++i) data[i] = other[i] = i;
    launch<int*>(1, 100, 0, reverse_in_block, data.data());
    for (int i = 0; i < 100; ++i) CHECK(data[i] == 99 - i);
    launch<int*>(1, 100, 0, reverse_without_barrier, other.data());
    without.insert(other);
  }
  CHECK(without.size() > 1);
}

TEST_CASE("lanes of a warp exchange values as CUDA defines it") {
  for (int order : kOrders) {
    acd::emulator::set_order(order);
    std::vector<int> out(96 * 6);
    launch<int*>(1, 96, 0, exchange_in_warp, out.data());
    for (int t = 0; t < 96; ++t) {
      const int lane = t % 32;
      const int* mine = out.data() + t * 6;
      CHECK(mine[0] == (lane ^ 5));
      CHECK(mine[1] == lane / 8 * 8 + 3);
      CHECK(mine[2] == (lane < 2 ? lane + 30 : lane));
      CHECK(static_cast<unsigned>(mine[3]) == 0x49249249u);
      CHECK(mine[4] == 1);
      CHECK(mine[5] == 0);
    }
    std::vector<int> halves(32);
    launch<int*>(1, 32, 0, exchange_in_halves, halves.data());
    CHECK(halves[2] == 2 + 3);
    CHECK(halves[20] == 4 * (20 + 21));
  }
}

TEST_CASE("atomics count every thread") {
  int total[2] = {};
  launch<int*>(4, 33, 0, add_up, total);
  CHECK(total[0] == 4 * 32 * 33 / 2);
  CHECK(total[1] == 32);
}

TEST_CASE("threads that have ended do not hold up a barrier") {
  std::vector<int> out(32);
  launch<int*>(1, 32, 0, some_end_early, out.data());
  for (int i = 0; i < 32; ++i) CHECK(out[i] == (i < 7));
}

TEST_CASE("threads that wait at different places end the launch with a sentence") {
  for (int order : kOrders) {
    acd::emulator::set_order(order);
    CHECK(has(complaint(1, 5, wait_at_two_places), "wait at different barriers"));
    const std::string dead = complaint(1, 64, leave_a_shuffle_waiting);
    CHECK(has(dead, "wait for each other for ever"));
    CHECK(has(dead, "at __syncthreads (cuda_emulator_test.cc:"));
    CHECK(has(dead, "threads at __shfl_xor_sync (cuda_emulator_test.cc:"));
    CHECK(has(complaint(1, 32, meet_at_two_operations), "meet at different operations"));
    CHECK(complaint(1, 32, name_two_masks) != "");
    CHECK(has(complaint(1, 20, name_an_ended_lane), "lane that the block lacks"));
  }
  acd::emulator::set_order(1);
  CHECK(has(complaint(1, 32, name_an_ended_lane), "a lane that has ended"));
  // And the next launch is sound.
  int total[2] = {};
  launch<int*>(1, 33, 0, add_up, total);
  CHECK(total[0] == 32 * 33 / 2);
}

TEST_CASE(
    "a write beyond a shared array ends the launch, and unwritten shared memory is no number") {
  CHECK(has(complaint(1, 32, write_beyond_shared), "wrote outside of the shared array"));
  std::vector<float> out(32);
  launch<float*>(1, 32, 0, read_unwritten, out.data());
  for (int i = 0; i < 32; ++i) CHECK(std::isnan(out[i]) == (i == 5));
}

TEST_CASE("an asynchronous copy is seen once it is waited for, and not before") {
  const int from = 7;
  int out[4] = {};
  launch<const int*, int*>(1, 1, 0, copy_late, &from, out);
  CHECK(out[0] == 0);
  CHECK(out[1] == 7);
  CHECK(out[2] == 0);
  CHECK(out[3] == 7);
}

TEST_CASE("a thread may keep a few thousand values of its own") {
  std::vector<int> out(256);
  launch<int*>(1, 256, 0, use_the_stack, out.data());
  CHECK(out[255] == 255);
}

TEST_CASE("a launch that no GPU takes is refused") {
  int total[2] = {};
  CHECK(has(complaint<int*>(1, 1025, add_up, total), "a block of 1025 threads"));
  CHECK(has(complaint<int*>({1, 65536}, 1, add_up, total), "a grid of 1 x 65536 x 1 blocks"));
  CHECK(has(complaint<int*>(0, 32, add_up, total), "a grid of 0"));
  CHECK(total[0] == 0);
}

TEST_CASE("floats are rounded to 16 and 8 bits as the types' definitions say") {
  const float inf = std::numeric_limits<float>::infinity();
  struct {
    float value;
    unsigned bf16, f16, e4m3;
  } known[] = {{0.0f, 0, 0, 0},
               {-0.0f, 0x8000, 0x8000, 0x80},
               {1.0f, 0x3f80, 0x3c00, 0x38},
               {-2.5f, 0xc020, 0xc100, 0xc2},
               {1.00390625f, 0x3f80, 0x3c04, 0x38},  // a tie in bf16: to even
               {1.01171875f, 0x3f82, 0x3c0c, 0x38},  // another: up
               {1.9990234375f, 0x4000, 0x3fff, 0x40},
               {1.0625f, 0x3f88, 0x3c40, 0x38},  // a tie in e4m3
               {1.1875f, 0x3f98, 0x3cc0, 0x3a},
               {448.0f, 0x43e0, 0x5f00, 0x7e},
               {1e4f, 0x461c, 0x70e2, 0x7e},
               {65520.0f, 0x4780, 0x7c00, 0x7e},
               {65519.0f, 0x4780, 0x7bff, 0x7e},
               {0x1p-9f, 0x3b00, 0x1800, 0x01},  // the smallest e4m3
               {0x1p-10f, 0x3a80, 0x1400, 0x00},
               {0x1.8p-9f, 0x3b40, 0x1a00, 0x02},
               {0x1p-24f, 0x3380, 0x0001, 0x00},
               {0x1.fp-15f, 0x3878, 0x03e0, 0x00},
               {0x1p-133f, 0x0001, 0, 0},
               {inf, 0x7f80, 0x7c00, 0x7e},
               {-inf, 0xff80, 0xfc00, 0xfe}};
  for (const auto& k : known) {
    CAPTURE(k.value);
    CHECK(__float2bfloat16_rn(k.value).bits == k.bf16);
    CHECK(__float2half_rn(k.value).bits == k.f16);
    CHECK(__nv_cvt_float_to_fp8(k.value, __NV_SATFINITE, __NV_E4M3) == k.e4m3);
  }
  CHECK(std::isnan(__bfloat162float(__float2bfloat16_rn(NAN))));
  CHECK(std::isnan(__half2float(__float2half_rn(NAN))));
  CHECK(__nv_cvt_float_to_fp8(NAN, __NV_SATFINITE, __NV_E4M3) == 0x7f);
}
