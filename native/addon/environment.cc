#include "addon/environment.h"

#include <algorithm>

#include "addon/errors.h"

namespace acd {
namespace {

// Memory of its own, which can be transferred: Buffer's pool serves allocUnsafe, not this. Where
// there is little to clear that takes less time than the way around it.
constexpr char kUnsetFloats[] = R"((allocate) => (count) =>
  count <= 16384 ? new Float32Array(count) : new Float32Array(allocate(4 * count).buffer))";

// The environment, which may outlive whoever could free it, frees it.
Napi::FunctionReference kept(const Napi::Value& function) {
  Napi::FunctionReference reference = Napi::Persistent(function.As<Napi::Function>());
  reference.SuppressDestruct();
  return reference;
}

}  // namespace

std::shared_ptr<Environment> Environment::create(Napi::Env env) {
  std::shared_ptr<Environment> e(new Environment());
  e->channel_ = Channel::New(env, "acd-clip", 0, 1, nullptr);
  e->channel_.Unref(env);
  const auto buffer = env.Global().Get("Buffer").As<Napi::Object>();
  const auto make = env.RunScript(kUnsetFloats).As<Napi::Function>();
  e->unset_floats_ = kept(make.Call({buffer.Get("allocUnsafeSlow")}));
  e->calls_ = std::make_unique<Calls>(env);
  // Hooks run last-in first-out: this one, made after the channel, stops our threads while the
  // channel still exists.
  env.AddCleanupHook([e] { e->shut_down(); });
  // A process that exits, by request or by an uncaught error, runs no cleanup hooks on its main
  // thread but destroys oneDNN's globals under the feet of threads that still compute.
  const auto process = env.Global().Get("process").As<Napi::Object>();
  const auto on_exit = Napi::Function::New(env, [e](const Napi::CallbackInfo& info) -> Napi::Value {
    return entry_point(info.Env(), [&]() -> Napi::Value {
      e->shut_down();
      return info.Env().Undefined();
    });
  });
  process.Get("once").As<Napi::Function>().Call(process, {Napi::String::New(env, "exit"), on_exit});
  return e;
}

void Environment::own(const std::shared_ptr<Owned>& thing) {
  owned_.erase(
      std::remove_if(owned_.begin(), owned_.end(), [](const auto& w) { return w.expired(); }),
      owned_.end());
  owned_.push_back(thing);
}

Napi::Float32Array Environment::unset_floats(Napi::Env env, size_t n) const {
  try {
    const Napi::Value array = unset_floats_.Call({Napi::Number::New(env, static_cast<double>(n))});
    return array.As<Napi::Float32Array>();
  } catch (const Napi::Error&) {
    throw_status(env, Status(Code::kOutOfMemory,
                             "no memory for an array of " + std::to_string(n) + " numbers"));
  }
}

void Environment::post(Task task) {
  std::lock_guard<std::mutex> lock(mutex_);
  if (gone_) return;
  const bool woken = !posted_.empty();
  posted_.push_back(std::move(task));
  if (woken) return;
  auto* self = new std::shared_ptr<Environment>(shared_from_this());
  if (channel_.NonBlockingCall(self) == napi_ok) return;
  delete self;
  posted_.clear();
}

void Environment::run_posted(Napi::Env env, Napi::Function, std::nullptr_t*,
                             std::shared_ptr<Environment>* self) {
  const std::unique_ptr<std::shared_ptr<Environment>> owned(self);
  std::vector<Task> tasks;
  {
    std::lock_guard<std::mutex> lock((*self)->mutex_);
    tasks.swap((*self)->posted_);
  }
  // No environment: it is being torn down, and the tasks' promises went with it.
  if (env == nullptr) return;
  for (Task& task : tasks) {
    Napi::HandleScope scope(env);
    try {
      task(env);
    } catch (...) {
      // Creating a result failed because the environment is terminating; nobody is left to tell,
      // and the caller is C.
    }
  }
}

void Environment::begin(Napi::Env env) {
  if (open_++ == 0) channel_.Ref(env);
}

void Environment::end(Napi::Env env) {
  if (--open_ == 0) channel_.Unref(env);
}

void Environment::shut_down() {
  if (gone_) return;
  for (const auto& weak : owned_) {
    if (const auto thing = weak.lock()) thing->shut_down();
  }
  std::vector<Task> dropped;  // after the lock: they hold whatever their calls held
  std::lock_guard<std::mutex> lock(mutex_);
  gone_ = true;
  dropped.swap(posted_);
  channel_.Abort();
}

}  // namespace acd
