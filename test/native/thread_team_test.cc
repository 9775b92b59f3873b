#include "core/thread_team.h"

#include <doctest/doctest.h>

#include <chrono>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <new>
#include <set>
#include <stdexcept>

using acd::ThreadTeam;

namespace {

// How often each tile ran.
std::vector<int> counts_of(ThreadTeam& team, int64_t tiles, int threads) {
  std::vector<std::atomic<int>> counts(static_cast<size_t>(tiles));
  team.run(tiles, threads, [&](int64_t tile) { counts[static_cast<size_t>(tile)].fetch_add(1); });
  return {counts.begin(), counts.end()};
}

void check_works(ThreadTeam& team) {
  for (int threads : {1, 2, 3, 8}) CHECK(counts_of(team, 101, threads) == std::vector<int>(101, 1));
}

int64_t threads_of_process() {
  int64_t n = 0;
  for (const auto& task : std::filesystem::directory_iterator("/proc/self/task")) {
    (void)task;
    ++n;
  }
  return n;
}

// A joined thread may stay in /proc for a moment.
bool becomes(int64_t threads) {
  for (int i = 0; i < 2000 && threads_of_process() != threads; ++i) {
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
  }
  return threads_of_process() == threads;
}

}  // namespace

TEST_CASE("the team runs every tile exactly once") {
  const auto team = ThreadTeam::shared();
  for (int64_t tiles : {0, 1, 2, 3, 7, 64, 1009}) {
    for (int threads : {1, 2, 3, 8}) {
      CAPTURE(tiles);
      CAPTURE(threads);
      CHECK(counts_of(*team, tiles, threads) == std::vector<int>(static_cast<size_t>(tiles), 1));
    }
  }
}

TEST_CASE("the team does not lose a tile in ten thousand short regions") {
  const auto team = ThreadTeam::shared();
  std::atomic<int64_t> sum{0};
  for (int i = 0; i < 10000; ++i) team->run(3, 3, [&](int64_t tile) { sum.fetch_add(tile + 1); });
  CHECK(sum.load() == 60000);
}

TEST_CASE("the team uses at most as many threads as asked, also after more were asked before") {
  const auto team = ThreadTeam::shared();
  for (int threads : {8, 3, 2, 1}) {
    std::mutex mutex;
    std::set<std::thread::id> seen;
    team->run(64, threads, [&](int64_t) {
      std::lock_guard<std::mutex> lock(mutex);
      seen.insert(std::this_thread::get_id());
    });
    CHECK(static_cast<int>(seen.size()) <= threads);
  }
}

TEST_CASE("what a tile wrote is seen by the caller without further locking") {
  const auto team = ThreadTeam::shared();
  std::vector<int64_t> squares(1000);
  for (int round = 1; round <= 50; ++round) {
    team->run(1000, 3, [&](int64_t i) { squares[static_cast<size_t>(i)] = i * i * round; });
    int64_t sum = 0;
    for (int64_t s : squares) sum += s;
    CHECK(sum == int64_t{332833500} * round);
  }
}

TEST_CASE("an exception of any tile reaches the caller, and the team works afterwards") {
  const auto team = ThreadTeam::shared();
  for (int threads : {1, 2, 8}) {
    for (int64_t bad : {0, 1, 50, 100}) {
      CAPTURE(threads);
      CAPTURE(bad);
      auto throws = [&](int64_t tile) {
        if (tile == bad) throw std::runtime_error("tile " + std::to_string(tile));
      };
      CHECK_THROWS_WITH_AS(team->run(101, threads, throws), doctest::Contains("tile"),
                           std::runtime_error);
    }
    CHECK_THROWS_AS(team->run(64, threads, [](int64_t) { throw std::bad_alloc(); }),
                    std::bad_alloc);
  }
  check_works(*team);
}

TEST_CASE("regions of several threads at once all finish with the right results") {
  const auto team = ThreadTeam::shared();
  std::atomic<int> wrong{0};
  const auto work = [&](int threads) {
    for (int round = 0; round < 200; ++round) {
      std::vector<int64_t> out(37, 0);
      team->run(37, threads, [&](int64_t i) { out[static_cast<size_t>(i)] += i + round; });
      for (int64_t i = 0; i < 37; ++i) wrong += out[static_cast<size_t>(i)] != i + round;
    }
  };
  std::thread a(work, 3), b(work, 8);
  work(2);
  a.join();
  b.join();
  CHECK(wrong.load() == 0);
}

TEST_CASE("an exception in one caller's region does not reach another caller") {
  const auto team = ThreadTeam::shared();
  std::atomic<int> caught{0}, strangers{0};
  std::thread thrower([&] {
    for (int i = 0; i < 200; ++i) {
      try {
        team->run(9, 3, [](int64_t) { throw std::runtime_error("mine"); });
      } catch (const std::runtime_error&) {
        ++caught;
      }
    }
  });
  for (int i = 0; i < 200; ++i) {
    try {
      team->run(9, 3, [](int64_t) {});
    } catch (...) {
      ++strangers;
    }
  }
  thrower.join();
  CHECK(caught.load() == 200);
  CHECK(strangers.load() == 0);
}

TEST_CASE("all holders share one team; its threads end with the last holder") {
  const int64_t before = threads_of_process();
  auto first = ThreadTeam::shared(), second = ThreadTeam::shared();
  CHECK(first.get() == second.get());
  first->run(64, 4, [](int64_t) {});
  CHECK(threads_of_process() == before + 3);
  first.reset();
  check_works(*second);
  second.reset();
  CHECK(becomes(before));
  check_works(*ThreadTeam::shared());
  CHECK(becomes(before));
}

TEST_CASE("two callers at once never have more threads at work than one was to have") {
  const auto team = ThreadTeam::shared();
  std::atomic<int> at_work{0}, most{0};
  const auto caller = [&] {
    for (int i = 0; i < 50; ++i) {
      team->run(16, 3, [&](int64_t) {
        const int now = ++at_work;
        for (int seen = most; now > seen && !most.compare_exchange_weak(seen, now);) {
        }
        std::this_thread::sleep_for(std::chrono::microseconds(20));
        --at_work;
      });
    }
  };
  std::thread first(caller), second(caller);
  first.join();
  second.join();
  CHECK(most.load() <= 3);
  CHECK(most.load() >= 2);
}

namespace {

// A system's files, as a process of it sees them.
struct System {
  std::filesystem::path root;
  System() {
    std::string pattern = (std::filesystem::temp_directory_path() / "acd-cgroup-XXXXXX").string();
    root = mkdtemp(pattern.data());
  }
  ~System() { std::filesystem::remove_all(root); }
  void write(const std::string& file, const std::string& text) const {
    const std::filesystem::path path = root.string() + file;
    std::filesystem::create_directories(path.parent_path());
    std::ofstream(path) << text;
  }
  int cpus() const { return acd::cgroup_cpus(root.string()); }
};

}  // namespace

TEST_CASE("CPU quotas are found in cgroups of both versions, and the smallest counts") {
  constexpr int kNone = 1 << 20;
  SUBCASE("without cgroups") {
    const System s;
    CHECK(s.cpus() == kNone);
  }
  SUBCASE("version 2: the process's own cgroup and those above") {
    const System s;
    s.write("/proc/self/cgroup", "0::/kube/pod/one\n");
    s.write("/sys/fs/cgroup/kube/pod/one/cpu.max", "max 100000\n");
    CHECK(s.cpus() == kNone);
    s.write("/sys/fs/cgroup/kube/cpu.max", "400000 100000\n");
    CHECK(s.cpus() == 4);
    s.write("/sys/fs/cgroup/kube/pod/one/cpu.max", "150000 100000\n");
    CHECK(s.cpus() == 2);
    s.write("/sys/fs/cgroup/kube/pod/one/cpu.max", "1000 100000\n");
    CHECK(s.cpus() == 1);
  }
  SUBCASE("version 2 in a container: its root, also when the path is the host's") {
    const System s;
    s.write("/sys/fs/cgroup/cpu.max", "200000 100000\n");
    for (const char* path : {"0::/\n", "0::/docker/0123\n", "0::/../other\n"}) {
      s.write("/proc/self/cgroup", path);
      CHECK(s.cpus() == 2);
    }
  }
  SUBCASE("version 1, beside an empty version 2") {
    const System s;
    s.write("/proc/self/cgroup", "5:cpuset:/x\n4:cpu,cpuacct:/batch\n1:name=systemd:/\n0::/\n");
    s.write("/sys/fs/cgroup/cpu,cpuacct/batch/cpu.cfs_quota_us", "-1\n");
    s.write("/sys/fs/cgroup/cpu,cpuacct/batch/cpu.cfs_period_us", "100000\n");
    CHECK(s.cpus() == kNone);
    s.write("/sys/fs/cgroup/cpu,cpuacct/batch/cpu.cfs_quota_us", "250000\n");
    CHECK(s.cpus() == 3);
    s.write("/sys/fs/cgroup/unified/cpu.max", "100000 100000\n");
    CHECK(s.cpus() == 1);
  }
  SUBCASE("damaged files are no quota") {
    const System s;
    s.write("/proc/self/cgroup", "nonsense\n0::/a\n3:cpu\n");
    for (const char* text : {"", "100000", "x y", "100000 0", "1e300 1e-300", "-5 100000"}) {
      s.write("/sys/fs/cgroup/a/cpu.max", text);
      CHECK(s.cpus() == kNone);
    }
  }
}

TEST_CASE("at least one processor is available") { CHECK(acd::available_cpus() >= 1); }
