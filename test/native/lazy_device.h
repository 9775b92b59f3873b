// The CPU behind a table with streams and graphs, whose streams do nothing before somebody waits
// for them: then what they were asked, in order, and of other streams only what they were told to
// wait for. Work that relies on an order nobody asked for reads memory that was never written.
#pragma once

#include <atomic>
#include <deque>
#include <functional>
#include <memory>
#include <mutex>
#include <set>
#include <string>
#include <vector>

#include "backend/device.h"
#include "door.h"

namespace acd::test {

class LazyDevice {
 public:
  LazyDevice();
  ~LazyDevice();
  const std::shared_ptr<Device>& device() const { return device_; }

  // Ops run as soon as they are asked for, copies still as late as they may.
  void set_eager(bool eager) { eager_ = eager; }

  // What was asked since the last reset_counts().
  struct Counts {
    int ops = 0;  // one by one: not of graphs
    int captures = 0;
    int graph_launches = 0;
    int uploads = 0;
    int downloads = 0;
    std::vector<int> uploads_before;  // each of the downloads
  };
  Counts counts() const;
  void reset_counts();
  // Bytes and graphs that nobody has given back.
  size_t live_bytes() const;
  int live_graphs() const;

  // The n-th op that is captured from now on is refused, 1: the next; 0: none.
  void fail_capture(int n);
  // The end of the next capture fails.
  void fail_end_of_capture();
  // The n-th op that is run from now on fails when its stream comes to it; 0: none.
  void fail_run(int n);
  // The n-th op that is asked for from now on finds no memory, 1: the next; 0: none.
  void refuse_op(int n);
  Door door;  // before downloads and synchronize

 private:
  struct Entries;
  struct Stream;
  using Work = std::function<int()>;

  Stream& of(void* stream);
  int ask(void* stream, Work work);
  int run_to(Stream& s, size_t end);
  int refuse(Code code, const std::string& why);

  mutable std::mutex mutex_;
  std::shared_ptr<Device> inner_;
  std::shared_ptr<Device> device_;
  std::unique_ptr<Stream> shared_;
  std::set<Stream*> streams_;
  Counts counts_;
  size_t live_bytes_ = 0;
  int live_graphs_ = 0;
  int fail_capture_ = 0, fail_run_ = 0, refuse_op_ = 0;
  bool fail_end_ = false;
  std::atomic<bool> eager_{false};
};

}  // namespace acd::test
