#include "core/thread_team.h"

#include <sched.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstdlib>
#include <fstream>

namespace acd {
namespace {

// Between two ops of a layer a worker spins this long before it sleeps: about what waking it costs.
constexpr auto kSpin = std::chrono::microseconds(30);

constexpr int kNoQuota = 1 << 20;

// Quota and period of one cgroup, in whole processors.
int quota_cpus(const std::string& quota, const std::string& period) {
  const double q = std::atof(quota.c_str()), p = std::atof(period.c_str());
  // "max" and -1 are no quota.
  if (q <= 0 || p <= 0) return kNoQuota;
  return static_cast<int>(std::clamp(std::ceil(q / p), 1.0, static_cast<double>(kNoQuota)));
}

std::string word_of(const std::string& file, int index) {
  std::ifstream in(file);
  std::string word;
  for (int i = 0; i <= index; ++i) {
    if (!(in >> word)) return "";
  }
  return word;
}

// The smallest quota of a cgroup and all above it. In a container the path may be the host's, of
// which only the root is to be seen: what is not there is passed over.
int cpus_along(const std::string& mount, std::string path) {
  int least = kNoQuota;
  for (;;) {
    const std::string at = mount + path + "/";
    least = std::min(least, quota_cpus(word_of(at + "cpu.max", 0), word_of(at + "cpu.max", 1)));
    least = std::min(least, quota_cpus(word_of(at + "cpu.cfs_quota_us", 0),
                                       word_of(at + "cpu.cfs_period_us", 0)));
    const size_t slash = path.rfind('/');
    if (slash == std::string::npos) return least;
    path.resize(slash);
  }
}

}  // namespace

int cgroup_cpus(const std::string& root) {
  int least = kNoQuota;
  std::ifstream cgroups(root + "/proc/self/cgroup");
  // hierarchy:controllers:/path, version 2 with no controllers.
  for (std::string line; std::getline(cgroups, line);) {
    const size_t first = line.find(':'), second = line.find(':', first + 1);
    if (second == std::string::npos) continue;
    const std::string controllers = "," + line.substr(first + 1, second - first - 1) + ",";
    const std::string path = line.substr(second + 1) == "/" ? "" : line.substr(second + 1);
    std::vector<const char*> mounts;
    if (controllers == ",,") mounts = {"", "/unified"};
    if (controllers.find(",cpu,") != std::string::npos) mounts = {"/cpu", "/cpu,cpuacct"};
    for (const char* mount : mounts)
      least = std::min(least, cpus_along(root + "/sys/fs/cgroup" + mount, path));
  }
  return least;
}

int available_cpus() {
  int n = static_cast<int>(std::thread::hardware_concurrency());
  cpu_set_t set;
  if (sched_getaffinity(0, sizeof set, &set) == 0) n = CPU_COUNT(&set);
  return std::max(1, std::min(n, cgroup_cpus()));
}

void step_behind() {
#if defined(__linux__) && defined(SYS_sched_setattr)
  // struct sched_attr, which no libc header of Debian 12 declares. On fair threads `runtime` is the
  // time slice (Linux 6.12 and later; ignored before): a thread that wakes waits no longer than it.
  struct {
    uint32_t size, policy;
    uint64_t flags;
    int32_t nice;
    uint32_t priority;
    uint64_t runtime_ns, deadline_ns, period_ns;
  } attributes = {};
  attributes.size = sizeof attributes;
  attributes.policy = SCHED_OTHER;
  // On Linux the priority is a thread's own. It only ever matters when a core has two takers.
  attributes.nice = std::min(19, getpriority(PRIO_PROCESS, 0) + 2);
  attributes.runtime_ns = 100000;
  syscall(SYS_sched_setattr, 0, &attributes, 0);
#endif
}

std::shared_ptr<ThreadTeam> ThreadTeam::shared() {
  // Never destroyed: threads may still ask for the team while the process exits.
  static std::mutex& mutex = *new std::mutex();
  static std::weak_ptr<ThreadTeam>& team = *new std::weak_ptr<ThreadTeam>();
  std::lock_guard<std::mutex> lock(mutex);
  std::shared_ptr<ThreadTeam> alive = team.lock();
  if (!alive) {
    alive.reset(new ThreadTeam());
    team = alive;
  }
  return alive;
}

ThreadTeam::~ThreadTeam() {
  {
    std::lock_guard<std::mutex> lock(mutex_);
    stop_ = true;
    generation_.fetch_add(1);
  }
  wake_.notify_all();
  for (std::thread& t : workers_) t.join();
}

void ThreadTeam::grow(int threads) {
  while (static_cast<int>(workers_.size()) < threads - 1) {
    workers_.emplace_back([this] { worker_main(); });
  }
}

void ThreadTeam::run_erased(int64_t tiles, int threads, TileFn fn, void* context) {
  std::lock_guard<std::mutex> region(region_);
  {
    std::lock_guard<std::mutex> lock(mutex_);
    grow(threads);
    fn_ = fn;
    context_ = context;
    tiles_ = tiles;
    next_.store(0, std::memory_order_relaxed);
    error_ = nullptr;
    open_ = static_cast<int>(std::min<int64_t>(threads - 1, tiles - 1));
    generation_.fetch_add(1);
  }
  wake_.notify_all();
  take_tiles();
  std::unique_lock<std::mutex> lock(mutex_);
  open_ = 0;  // no tile is left: a worker that wakes now must not enter
  done_.wait(lock, [this] { return inside_ == 0; });
  if (error_) std::rethrow_exception(std::exchange(error_, nullptr));
}

void ThreadTeam::take_tiles() {
  try {
    for (int64_t i; (i = next_.fetch_add(1, std::memory_order_relaxed)) < tiles_;) {
      fn_(context_, i);
    }
  } catch (...) {
    std::lock_guard<std::mutex> lock(mutex_);
    if (!error_) error_ = std::current_exception();
    next_.store(tiles_, std::memory_order_relaxed);
  }
}

void ThreadTeam::worker_main() {
  step_behind();
  uint64_t seen = 0;
  for (;;) {
    const auto deadline = std::chrono::steady_clock::now() + kSpin;
    while (generation_.load(std::memory_order_acquire) == seen &&
           std::chrono::steady_clock::now() < deadline) {
    }
    {
      std::unique_lock<std::mutex> lock(mutex_);
      wake_.wait(lock, [&] { return stop_ || generation_.load() != seen; });
      if (stop_) return;
      seen = generation_.load();
      if (open_ == 0) continue;
      --open_;
      ++inside_;
    }
    take_tiles();
    std::lock_guard<std::mutex> lock(mutex_);
    if (--inside_ == 0) done_.notify_one();
  }
}

}  // namespace acd
