// Where the time of one computation goes: while a StageClock lives, every device operation of the
// thread that made it is timed, summed by operation and extents. Without one nothing is measured.
#pragma once

#include <chrono>
#include <cstdint>
#include <vector>

namespace acd {

struct Stage {
  const char* op;  // static storage: the operation's name
  int64_t rows;    // extents where the operation says them, else 0:
  int64_t from;    // linear: rows, columns read, columns written; attention: tokens, heads, batch
  int64_t to;
  int64_t calls = 0;
  double ms = 0;
};

class StageClock {
 public:
  StageClock() : outer_(current_) { current_ = this; }
  ~StageClock() { current_ = outer_; }
  StageClock(const StageClock&) = delete;
  StageClock& operator=(const StageClock&) = delete;

  // The calling thread's, or null.
  static StageClock* current() { return current_; }

  // Times one call; equal operations with equal extents are one stage. What the call itself calls
  // is part of it and not counted again.
  template <typename Work>
  auto time(Stage call, Work&& work) {
    const auto start = std::chrono::steady_clock::now();
    current_ = nullptr;
    auto result = work();
    current_ = this;
    call.ms =
        std::chrono::duration<double, std::milli>(std::chrono::steady_clock::now() - start).count();
    add(call);
    return result;
  }
  void add(const Stage& call);
  // In the order in which they first came.
  const std::vector<Stage>& stages() const { return stages_; }

 private:
  static thread_local StageClock* current_;
  StageClock* outer_;
  std::vector<Stage> stages_;
};

}  // namespace acd
