// What one JavaScript environment (main thread or worker) owns: the way back from our threads, and
// everything that must end before the environment does. Nothing here is shared between
// environments.
#pragma once

#include <napi.h>

#include <functional>
#include <memory>
#include <mutex>
#include <vector>

#include "addon/calls.h"

namespace acd {

class Environment : public std::enable_shared_from_this<Environment> {
 public:
  static std::shared_ptr<Environment> create(Napi::Env env);

  // A thing with threads. shut_down() must stop and join them; it is called on the JavaScript
  // thread when the environment goes away.
  class Owned {
   public:
    virtual ~Owned() = default;
    virtual void shut_down() = 0;
  };
  void own(const std::shared_ptr<Owned>& thing);

  // A Float32Array of n numbers, none of them set yet: clearing a map costs as much as writing it.
  // Throws kOutOfMemory where napi_create_arraybuffer would end the process. JavaScript thread
  // only.
  Napi::Float32Array unset_floats(Napi::Env env, size_t n) const;

  // How calls get their promises and results. JavaScript thread only.
  const Calls& calls() const { return *calls_; }

  // Runs `task` on the JavaScript thread soon; from any thread. Dropped when the environment is
  // gone.
  using Task = std::function<void(Napi::Env)>;
  void post(Task task);

  // True once shut_down() has begun: no thread may be started any more. JavaScript thread only.
  bool gone() const { return gone_; }

  // Between begin() and end() the event loop is kept alive. JavaScript thread only.
  void begin(Napi::Env env);
  void end(Napi::Env env);

 private:
  // All that was posted since the last time: a burst of results wakes the event loop once.
  static void run_posted(Napi::Env env, Napi::Function, std::nullptr_t*,
                         std::shared_ptr<Environment>* self);
  using Channel =
      Napi::TypedThreadSafeFunction<std::nullptr_t, std::shared_ptr<Environment>, run_posted>;

  void shut_down();

  Channel channel_;
  Napi::FunctionReference unset_floats_;
  std::unique_ptr<Calls> calls_;
  int open_ = 0;
  bool gone_ = false;
  std::mutex mutex_;  // guards gone_ and posted_
  std::vector<Task> posted_;
  std::vector<std::weak_ptr<Owned>> owned_;
};

}  // namespace acd
