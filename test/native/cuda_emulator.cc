#include "cuda_emulator.h"

#include <array>
#include <memory>
#include <mutex>
#include <random>
#include <vector>

#if !defined(__x86_64__) && !defined(ACD_EMULATOR_UCONTEXT)
#define ACD_EMULATOR_UCONTEXT
#endif
#if defined(ACD_EMULATOR_UCONTEXT)
#include <ucontext.h>
#endif
#if defined(__SANITIZE_ADDRESS__)
#include <sanitizer/asan_interface.h>
#include <sanitizer/common_interface_defs.h>
#endif

namespace acd::emulator {

ThreadView* current = nullptr;
dim3 block_extent, grid_extent;

namespace {

#if defined(__SANITIZE_ADDRESS__)
constexpr size_t kStackBytes = 256 * 1024;
#else
constexpr size_t kStackBytes = 64 * 1024;
#endif
constexpr uint64_t kStackCanary = 0x5ca1ab1e0ddba11full;
constexpr size_t kGuardWords = 16;
// What every GPU from compute capability 8.0 on takes.
constexpr unsigned kMaxBlockThreads = 1024;
constexpr unsigned kMaxGridYz = 65535;
constexpr size_t kMaxSharedBytes = 227 * 1024;

// One stack pointer and what switches it. On other processors than x86-64 the C library does it,
// at the price of two system calls a switch.
#if !defined(ACD_EMULATOR_UCONTEXT)
struct Context {
  void* stack_pointer = nullptr;
};

// Callee-saved registers go on the old stack and come from the new one.
extern "C" void acd_emulator_switch(void** save, void* load);
asm(R"(
.text
.globl acd_emulator_switch
.hidden acd_emulator_switch
.type acd_emulator_switch, @function
acd_emulator_switch:
  pushq %rbp
  pushq %rbx
  pushq %r12
  pushq %r13
  pushq %r14
  pushq %r15
  movq %rsp, (%rdi)
  movq %rsi, %rsp
  popq %r15
  popq %r14
  popq %r13
  popq %r12
  popq %rbx
  popq %rbp
  ret
.size acd_emulator_switch, .-acd_emulator_switch
)");

void switch_context(Context& from, Context& to) {
  acd_emulator_switch(&from.stack_pointer, to.stack_pointer);
}

void prepare(Context& context, uint8_t* stack, void (*entry)()) {
  auto** top = reinterpret_cast<void**>(stack + kStackBytes);
  *--top = nullptr;  // the return address of entry, which never returns; keeps the alignment
  *--top = reinterpret_cast<void*>(entry);
  for (int i = 0; i < 6; ++i) *--top = nullptr;
  context.stack_pointer = top;
}
#else
struct Context {
  ucontext_t context;
};

void switch_context(Context& from, Context& to) { swapcontext(&from.context, &to.context); }

void prepare(Context& context, uint8_t* stack, void (*entry)()) {
  getcontext(&context.context);
  context.context.uc_stack.ss_sp = stack;
  context.context.uc_stack.ss_size = kStackBytes;
  context.context.uc_link = nullptr;
  makecontext(&context.context, entry, 0);
}
#endif

enum class State { kReady, kAtBarrier, kInMeeting, kDone };

struct AsyncCopy {
  void* to;
  const void* from;
  size_t bytes;
  int group;
};

struct Thread : ThreadView {
  Context context;
  std::unique_ptr<uint8_t[]> stack;
  State state = State::kDone;
  Site site = {};
  // Of the meeting that the thread waits in.
  uint32_t mask = 0;
  Resolve resolve = nullptr;
  void* request = nullptr;
  const char* operation = nullptr;
  std::vector<AsyncCopy> copies;
  int copy_group = 0;
  bool is_new = false;  // the fiber has not run yet
};

struct SharedArray {
  const char* file;
  int line;
  size_t bytes;
  std::vector<uint32_t> words;  // guard, the array, guard
};

struct Machine {
  std::mutex running;  // one launch at a time
  int order = 1;
  std::mt19937 rng;
  std::vector<std::unique_ptr<Thread>> threads;
  size_t count = 0;  // of the block
  size_t alive = 0;
  size_t at_barrier = 0;
  Context scheduler;
  const void* scheduler_stack = nullptr;
  size_t scheduler_stack_bytes = 0;
  std::vector<SharedArray> arrays;
  size_t dynamic_bytes = 0;
  void (*body)(void*) = nullptr;
  void* arguments = nullptr;
  std::string error;
};

Machine& machine() {
  static Machine m;
  return m;
}

Thread& self() { return *static_cast<Thread*>(current); }

std::string place(Site site) {
  std::string file = site.file;
  const size_t slash = file.rfind('/');
  if (slash != std::string::npos) file.erase(0, slash + 1);
  return file + ":" + std::to_string(site.line);
}

// From the running fiber back to the scheduler. `is_last`: it never comes back.
void leave(bool is_last = false) {
  Machine& m = machine();
  Thread& thread = self();
#if defined(__SANITIZE_ADDRESS__)
  void* fake = nullptr;
  __sanitizer_start_switch_fiber(is_last ? nullptr : &fake, m.scheduler_stack,
                                 m.scheduler_stack_bytes);
#else
  (void)is_last;
#endif
  switch_context(thread.context, m.scheduler);
#if defined(__SANITIZE_ADDRESS__)
  __sanitizer_finish_switch_fiber(fake, nullptr, nullptr);
#endif
}

void resume(Thread& thread) {
  Machine& m = machine();
  current = &thread;
#if defined(__SANITIZE_ADDRESS__)
  void* fake = nullptr;
  __sanitizer_start_switch_fiber(&fake, thread.stack.get(), kStackBytes);
#endif
  switch_context(m.scheduler, thread.context);
#if defined(__SANITIZE_ADDRESS__)
  __sanitizer_finish_switch_fiber(fake, nullptr, nullptr);
#endif
  current = nullptr;
}

void open_barrier_if_full() {
  Machine& m = machine();
  if (m.at_barrier == 0 || m.at_barrier < m.alive) return;
  m.at_barrier = 0;
  for (size_t i = 0; i < m.count; ++i) {
    if (m.threads[i]->state == State::kAtBarrier) m.threads[i]->state = State::kReady;
  }
}

void fiber_main() {
  Machine& m = machine();
#if defined(__SANITIZE_ADDRESS__)
  __sanitizer_finish_switch_fiber(nullptr, &m.scheduler_stack, &m.scheduler_stack_bytes);
#endif
  m.body(m.arguments);
  self().state = State::kDone;
  --m.alive;
  open_barrier_if_full();
  leave(true);
}

void start_threads(dim3 block_index) {
  Machine& m = machine();
  m.count = m.alive = size_t{block_extent.x} * block_extent.y * block_extent.z;
  m.at_barrier = 0;
  while (m.threads.size() < m.count) {
    m.threads.push_back(std::make_unique<Thread>());
    m.threads.back()->stack = std::make_unique<uint8_t[]>(kStackBytes);
  }
  for (size_t i = 0; i < m.count; ++i) {
    Thread& t = *m.threads[i];
    const auto n = static_cast<unsigned>(i);
    t.thread = {n % block_extent.x, n / block_extent.x % block_extent.y,
                n / block_extent.x / block_extent.y};
    t.block = block_index;
    t.lane = n % kWarpLanes;
    t.state = State::kReady;
    t.copies.clear();
    t.copy_group = 0;
#if defined(__SANITIZE_ADDRESS__)
    // A fiber that was ended early left its frames' marks behind.
    ASAN_UNPOISON_MEMORY_REGION(t.stack.get(), kStackBytes);
#endif
    std::memcpy(t.stack.get(), &kStackCanary, sizeof kStackCanary);
    prepare(t.context, t.stack.get(), fiber_main);
  }
}

// Who waits where: "3 threads at __syncthreads (x.cu:7), 1 thread at __shfl_sync (x.cu:9)".
std::string waiting() {
  Machine& m = machine();
  std::vector<std::pair<std::string, int>> places;
  for (size_t i = 0; i < m.count; ++i) {
    const Thread& t = *m.threads[i];
    if (t.state == State::kDone) continue;
    const std::string at =
        (t.state == State::kAtBarrier ? "__syncthreads" : std::string(t.operation)) + " (" +
        place(t.site) + ")";
    auto it = std::find_if(places.begin(), places.end(), [&](auto& p) { return p.first == at; });
    if (it == places.end()) it = places.insert(places.end(), {at, 0});
    ++it->second;
  }
  std::string text;
  for (const auto& [at, n] : places) {
    text += (text.empty() ? "" : ", ") + std::to_string(n) + (n == 1 ? " thread" : " threads") +
            " at " + at;
  }
  return text;
}

void check_guards() {
  Machine& m = machine();
  for (const SharedArray& a : m.arrays) {
    const size_t n = a.words.size();
    for (size_t i = 0; i < kGuardWords; ++i) {
      if (a.words[i] != kPoison || a.words[n - 1 - i] != kPoison) {
        const std::string name =
            a.file ? "the shared array of " + place({a.file, a.line}) : "the dynamic shared memory";
        m.error = "a thread wrote outside of " + name + ", " + std::to_string(a.bytes) + " bytes";
      }
    }
  }
  for (size_t i = 0; i < m.count; ++i) {
    if (std::memcmp(m.threads[i]->stack.get(), &kStackCanary, sizeof kStackCanary) != 0) {
      m.error = "a thread used more than " + std::to_string(kStackBytes) + " bytes of stack";
    }
  }
}

void set_turns(std::vector<size_t>& turns) {
  Machine& m = machine();
  for (size_t i = 0; i < turns.size(); ++i) turns[i] = m.order == 2 ? turns.size() - 1 - i : i;
  if (m.order > 2) std::shuffle(turns.begin(), turns.end(), m.rng);
}

// Runs one warp for as long as any of its lanes can go on: as far ahead of the others as it may
// get. Whether any could.
bool run_warp(size_t first, std::vector<size_t>& lanes) {
  Machine& m = machine();
  bool any = false;
  for (bool again = true; again;) {
    again = false;
    set_turns(lanes);
    for (size_t lane : lanes) {
      if (first + lane >= m.count) continue;
      Thread& t = *m.threads[first + lane];
      if (t.state != State::kReady) continue;
      resume(t);
      if (!m.error.empty()) return true;
      any = again = true;
    }
  }
  return any;
}

void run_block(dim3 block_index) {
  Machine& m = machine();
  m.arrays.clear();
  start_threads(block_index);
  std::vector<size_t> warps((m.count + kWarpLanes - 1) / kWarpLanes), lanes(kWarpLanes);
  while (m.alive > 0 && m.error.empty()) {
    set_turns(warps);
    bool any = false;
    for (size_t warp : warps) {
      any |= run_warp(warp * kWarpLanes, lanes);
      if (!m.error.empty()) return;
    }
    if (!any) m.error = "the threads of a block wait for each other for ever: " + waiting();
  }
  if (m.error.empty()) check_guards();
}

void check_launch(dim3 grid, dim3 block, size_t shared_bytes) {
  const size_t threads = size_t{block.x} * block.y * block.z;
  if (threads < 1 || threads > kMaxBlockThreads || block.z > 64) {
    throw EmulatorError("a block of " + std::to_string(threads) + " threads; a GPU takes 1 to " +
                        std::to_string(kMaxBlockThreads));
  }
  if (grid.x < 1 || grid.x > 0x7fffffffu || grid.y < 1 || grid.y > kMaxGridYz || grid.z < 1 ||
      grid.z > kMaxGridYz) {
    throw EmulatorError("a grid of " + std::to_string(grid.x) + " x " + std::to_string(grid.y) +
                        " x " + std::to_string(grid.z) + " blocks; a GPU takes 1 to " +
                        "2147483647 x 65535 x 65535");
  }
  if (shared_bytes > kMaxSharedBytes) {
    throw EmulatorError(std::to_string(shared_bytes) + " bytes of shared memory; a GPU takes " +
                        std::to_string(kMaxSharedBytes));
  }
}

SharedArray& find_shared(const char* file, int line, size_t bytes) {
  Machine& m = machine();
  for (SharedArray& a : m.arrays) {
    if (a.file == file && a.line == line && a.bytes == bytes) return a;
  }
  m.arrays.push_back({file, line, bytes, {}});
  m.arrays.back().words.assign((bytes + 3) / 4 + 2 * kGuardWords, kPoison);
  return m.arrays.back();
}

// Guards make 64 bytes, so that the array is aligned as malloc's memory is.
static_assert(kGuardWords * 4 % 16 == 0);

}  // namespace

void set_order(int order) {
  machine().order = order;
  machine().rng.seed(static_cast<unsigned>(order));
}

void launch_blocks(dim3 grid, dim3 block, size_t shared_bytes, void (*body)(void*),
                   void* arguments) {
  Machine& m = machine();
  const std::lock_guard<std::mutex> lock(m.running);
  check_launch(grid, block, shared_bytes);
  block_extent = block;
  grid_extent = grid;
  m.dynamic_bytes = shared_bytes;
  m.body = body;
  m.arguments = arguments;
  m.error.clear();
  const uint64_t blocks = uint64_t{grid.x} * grid.y * grid.z;
  std::vector<uint64_t> turn(blocks);
  for (uint64_t i = 0; i < blocks; ++i) turn[i] = m.order == 2 ? blocks - 1 - i : i;
  if (m.order > 2) std::shuffle(turn.begin(), turn.end(), m.rng);
  for (uint64_t i : turn) {
    run_block({static_cast<unsigned>(i % grid.x), static_cast<unsigned>(i / grid.x % grid.y),
               static_cast<unsigned>(i / grid.x / grid.y)});
    if (!m.error.empty()) throw EmulatorError(m.error);
  }
}

// Strings of the fiber would never be freed: the sentence is complete before.
[[noreturn]] static void stop() {
  for (;;) leave(true);
}

void fail(const char* sentence) {
  machine().error = sentence;
  stop();
}

void barrier(Site site) {
  Machine& m = machine();
  Thread& t = self();
  t.site = site;
  t.state = State::kAtBarrier;
  for (size_t i = 0; i < m.count; ++i) {
    const Thread& other = *m.threads[i];
    if (&other == &t || other.state != State::kAtBarrier) continue;
    if (other.site.line != site.line || other.site.file != site.file) {
      m.error = "threads of a block wait at different barriers: " + waiting();
      stop();
    }
    break;  // those before have been compared with each other
  }
  ++m.at_barrier;
  open_barrier_if_full();
  if (t.state != State::kReady) leave();
}

void meet(uint32_t mask, Resolve resolve, void* request, const char* operation, Site site) {
  Machine& m = machine();
  Thread& t = self();
  const size_t index =
      t.thread.x + size_t{block_extent.x} * (t.thread.y + size_t{block_extent.y} * t.thread.z);
  const size_t first = index - t.lane;
  if (!(mask >> t.lane & 1)) {
    m.error = "a lane is not in the mask that it names for " + std::string(operation);
    stop();
  }
  t.state = State::kInMeeting;
  t.site = site;
  t.mask = mask;
  t.resolve = resolve;
  t.request = request;
  t.operation = operation;
  void* requests[kWarpLanes] = {};
  bool complete = true;
  for (int i = 0; i < kWarpLanes; ++i) {
    if (!(mask >> i & 1)) continue;
    if (first + i >= m.count) {
      m.error = std::string(operation) + " (" + place(site) + ") names a lane that the block lacks";
      stop();
    }
    const Thread& other = *m.threads[first + i];
    if (other.state == State::kDone) {
      m.error = std::string(operation) + " (" + place(site) + ") names a lane that has ended";
      stop();
    }
    if (other.state != State::kInMeeting) {
      complete = false;
      continue;
    }
    if (other.resolve != resolve || std::strcmp(other.operation, operation) != 0) {
      m.error = "lanes of a warp meet at different operations: " + waiting();
      stop();
    }
    if (other.mask != mask) {
      m.error = "lanes of a warp name different masks: " + waiting();
      stop();
    }
    requests[i] = other.request;
  }
  if (!complete) return leave();
  for (int i = 0; i < kWarpLanes; ++i) {
    if (mask >> i & 1) m.threads[first + i]->state = State::kReady;
  }
  resolve(requests, mask);
}

void* dynamic_shared() { return shared_array(nullptr, 0, machine().dynamic_bytes); }

void* shared_array(const char* file, int line, size_t bytes) {
  return find_shared(file, line, bytes).words.data() + kGuardWords;
}

void copy_async(void* to, const void* from, size_t bytes) {
  self().copies.push_back({to, from, bytes, self().copy_group});
}

void copy_async_commit() { ++self().copy_group; }

void copy_async_wait(int groups_left) {
  Thread& t = self();
  const auto is_due = [&](const AsyncCopy& c) { return c.group < t.copy_group - groups_left; };
  for (const AsyncCopy& c : t.copies) {
    if (is_due(c)) std::memcpy(c.to, c.from, c.bytes);
  }
  t.copies.erase(std::remove_if(t.copies.begin(), t.copies.end(), is_due), t.copies.end());
}

}  // namespace acd::emulator
