#include "addon/environment.h"

#include <algorithm>

#include "addon/errors.h"

namespace acd {
namespace {

// The fields of NativeDetection in typings/native.d.ts that every detection has.
constexpr char kMakeDetection[] = R"(
  (score, cls, mapMax, map, mapWidth, mapHeight,
   queueMs, preprocessMs, computeMs, postprocessMs, batch) => ({
    score, cls, mapMax, map, mapWidth, mapHeight,
    timing: { queueMs, preprocessMs, computeMs, postprocessMs }, batch,
  }))";

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
  e->allocate_ = kept(buffer.Get("allocUnsafeSlow"));
  e->make_handle_ = kept(env.RunScript("(id, result) => ({ id, result })"));
  e->make_detection_ = kept(env.RunScript(kMakeDetection));
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
  const double bytes = static_cast<double>(n) * sizeof(float);
  try {
    const auto buffer = allocate_.Call({Napi::Number::New(env, bytes)}).As<Napi::Uint8Array>();
    // Memory of its own, which can be transferred: Buffer's pool serves allocUnsafe, not this.
    Napi::ArrayBuffer memory = buffer.ArrayBuffer();
    ACD_ASSERT(memory.ByteLength() == n * sizeof(float));
    return Napi::Float32Array::New(env, n, memory, 0);
  } catch (const Napi::Error&) {
    throw_status(env, Status(Code::kOutOfMemory,
                             "no memory for an array of " + std::to_string(n) + " numbers"));
  }
}

void Environment::post(Task task) {
  auto* posted = new Posted{shared_from_this(), std::move(task)};
  std::lock_guard<std::mutex> lock(mutex_);
  if (gone_ || channel_.NonBlockingCall(posted) != napi_ok) delete posted;
}

void Environment::run_posted(Napi::Env env, Napi::Function, std::nullptr_t*, Posted* posted) {
  std::unique_ptr<Posted> owned(posted);
  // No environment: it is being torn down, and the task's promise went with it.
  if (env == nullptr) return;
  Napi::HandleScope scope(env);
  try {
    owned->task(env);
  } catch (...) {
    // Creating a result failed because the environment is terminating; nobody is left to tell, and
    // the caller is C.
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
  std::lock_guard<std::mutex> lock(mutex_);
  gone_ = true;
  channel_.Abort();
}

}  // namespace acd
