// The addon's entry: what typings/native.d.ts calls NativeBinding.
#include <napi.h>

#include <cstdio>
#include <cstring>

#include "addon/args.h"
#include "addon/datagen.h"
#include "addon/environment.h"
#include "addon/kernels.h"
#include "addon/load.h"
#include "backend/cpu/dnnl_compat.h"
#include "backend/cpu/isa.h"
#include "core/thread_team.h"
#include "infer/model_store.h"

namespace acd {
namespace {

std::string cpu_name() {
  char line[256];
  if (FILE* f = std::fopen("/proc/cpuinfo", "r")) {
    while (std::fgets(line, sizeof line, f)) {
      if (std::strncmp(line, "model name", 10) != 0) continue;
      std::fclose(f);
      const char* colon = std::strchr(line, ':');
      std::string name = colon ? colon + 2 : "";
      while (!name.empty() && name.back() == '\n') name.pop_back();
      return name;
    }
    std::fclose(f);
  }
  return "unknown";
}

const char* onednn_isa_name() {
  const auto isa = dnnl::get_effective_cpu_isa();
  if (isa == dnnl::cpu_isa::sse41) return "sse41";
  if (isa == dnnl::cpu_isa::avx) return "avx";
  if (isa == dnnl::cpu_isa::avx2) return "avx2";
  if (isa == dnnl::cpu_isa::avx512_core) return "avx512_core";
  if (isa == dnnl::cpu_isa::avx512_core_vnni) return "avx512_core_vnni";
  if (isa == dnnl::cpu_isa::avx512_core_bf16) return "avx512_core_bf16";
  return "avx512 or newer";
}

Napi::Value runtime_info(const Napi::CallbackInfo& info) {
  Napi::Env env = info.Env();
  const Status isa = select_isa_from_environment();
  if (!isa.ok()) throw_status(env, isa);
  const dnnl::version_t* v = dnnl::version();
  Napi::Object o = Napi::Object::New(env);
  o.Set("version", ACD_VERSION);
  o.Set("compiler", "g++ " __VERSION__);
  o.Set("isa", isa_name(current_isa()));
  o.Set("isaDetected", isa_name(detected_isa()));
  o.Set("isaForced", Napi::Boolean::New(env, isa_forced()));
  o.Set("onednn",
        std::to_string(v->major) + "." + std::to_string(v->minor) + "." + std::to_string(v->patch));
  o.Set("onednnIsa", onednn_isa_name());
  o.Set("cpu", cpu_name());
  o.Set("cpus", available_cpus());
  return o;
}

Napi::Value list_devices(const Napi::CallbackInfo& info) {
  Napi::Env env = info.Env();
  Napi::Object cpu = Napi::Object::New(env);
  cpu.Set("id", "cpu");
  cpu.Set("available", Napi::Boolean::New(env, true));
  cpu.Set("name", cpu_name());
  cpu.Set("reason", "always available");
  Napi::Object cuda = Napi::Object::New(env);
  cuda.Set("id", "cuda");
  cuda.Set("available", Napi::Boolean::New(env, false));
  cuda.Set("name", "CUDA");
  cuda.Set("reason", "this version has no CUDA backend yet");
  Napi::Array out = Napi::Array::New(env, 2);
  out.Set(0u, cpu);
  out.Set(1u, cuda);
  return out;
}

Napi::Value store_object(const Napi::CallbackInfo& info) {
  const StoreInfo store = store_info();
  Napi::Object o = Napi::Object::New(info.Env());
  o.Set("models", static_cast<double>(store.models));
  o.Set("bytes", static_cast<double>(store.bytes));
  return o;
}

Napi::Object init(Napi::Env env, Napi::Object exports) {
  const auto environment = Environment::create(env);
  const auto method = [&](const char* name, auto body) {
    exports.Set(name, Napi::Function::New(
                          env,
                          [body](const Napi::CallbackInfo& info) -> Napi::Value {
                            return entry_point(info.Env(), [&] { return body(info); });
                          },
                          name));
  };
  method("load", [environment](const Napi::CallbackInfo& info) { return load(info, environment); });
  method("runtimeInfo", runtime_info);
  method("listDevices", list_devices);
  method("storeInfo", store_object);
  exports.Set("kernels", make_kernels(env));
  exports.Set("datagen", make_datagen(env, environment));
  return exports;
}

NODE_API_MODULE(acd_clip, init)

}  // namespace
}  // namespace acd
