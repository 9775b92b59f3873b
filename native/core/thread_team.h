// The one team of compute threads of a process. Every model's work runs on it, one parallel region
// at a time, so two models never oversubscribe the cores. How tiles are cut is up to the caller and
// must not depend on the number of threads wherever that could change a result.
#pragma once

#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <exception>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <type_traits>
#include <utility>
#include <vector>

namespace acd {

// Threads that affinity (cpusets included) and the CPU quotas of the process's cgroups allow, at
// least 1.
int available_cpus();

// What the quotas alone allow, rounded up; 2^20 without any. Reads <root>/proc/self/cgroup and the
// cgroup's files and those of all above it under <root>/sys/fs/cgroup: version 2 (cpu.max), version
// 1 (cpu.cfs_quota_us) and both at once.
int cgroup_cpus(const std::string& root = "");

// Called by a thread that computes, for itself: steps behind the threads that answer (the event
// loop above all), which on a machine without a spare core would otherwise wait for its time slice.
void step_behind();

class ThreadTeam {
 public:
  // The process's team; it ends when nobody holds it any more.
  static std::shared_ptr<ThreadTeam> shared();
  ~ThreadTeam();
  ThreadTeam(const ThreadTeam&) = delete;
  ThreadTeam& operator=(const ThreadTeam&) = delete;

  // Calls fn(tile) for every tile in [0, tiles), on at most `threads` threads of which the caller
  // is one. Returns when all are done; rethrows the first exception of a tile.
  template <typename Fn>
  void run(int64_t tiles, int threads, Fn&& fn) {
    if (tiles <= 1 || threads <= 1) {
      for (int64_t i = 0; i < tiles; ++i) fn(i);
      return;
    }
    run_erased(
        tiles, threads,
        [](void* context, int64_t tile) {
          (*static_cast<std::remove_reference_t<Fn>*>(context))(tile);
        },
        const_cast<void*>(static_cast<const void*>(&fn)));
  }

 private:
  using TileFn = void (*)(void* context, int64_t tile);

  ThreadTeam() = default;
  void run_erased(int64_t tiles, int threads, TileFn fn, void* context);
  void grow(int threads);
  void worker_main();
  void take_tiles();

  std::mutex region_;  // held for a whole parallel region
  std::mutex mutex_;   // guards the members below
  std::condition_variable wake_;
  std::condition_variable done_;
  std::vector<std::thread> workers_;
  bool stop_ = false;
  std::exception_ptr error_;
  int open_ = 0;    // workers that may still join the region
  int inside_ = 0;  // workers in the region
  std::atomic<uint64_t> generation_{0};
  TileFn fn_ = nullptr;
  void* context_ = nullptr;
  int64_t tiles_ = 0;
  std::atomic<int64_t> next_{0};
};

}  // namespace acd
