// Where a test holds up what a device does, until it has seen enough.
#pragma once

#include <condition_variable>
#include <mutex>

namespace acd::test {

class Door {
 public:
  void close() {
    std::lock_guard<std::mutex> lock(mutex_);
    closed_ = true;
  }
  void open() {
    {
      std::lock_guard<std::mutex> lock(mutex_);
      closed_ = false;
    }
    changed_.notify_all();
  }
  // Returns when somebody waits at the closed door.
  void await_visitor() {
    std::unique_lock<std::mutex> lock(mutex_);
    changed_.wait(lock, [this] { return visitors_ > 0; });
  }
  // Waits while it is closed.
  void pass() {
    std::unique_lock<std::mutex> lock(mutex_);
    if (!closed_) return;
    ++visitors_;
    changed_.notify_all();
    changed_.wait(lock, [this] { return !closed_; });
    --visitors_;
  }

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
  bool closed_ = false;
  int visitors_ = 0;
};

}  // namespace acd::test
