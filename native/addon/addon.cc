// The addon's entry: what typings/native.d.ts calls NativeBinding.
#include <napi.h>

#include <cstdio>
#include <cstring>

#include "addon/args.h"
#include "addon/datagen.h"
#include "addon/environment.h"
#include "addon/kernels.h"
#include "addon/load.h"
#include "backend/cpu/cpu_backend.h"
#include "backend/cpu/dnnl_compat.h"
#include "backend/cpu/isa.h"
#include "backend/cuda_plugin.h"
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

// Null for a device that cannot be used.
using SupportOf = std::function<PrecisionSupport(Precision)>;

Napi::Array precisions_array(Napi::Env env, const SupportOf& support_of) {
  Napi::Array out = Napi::Array::New(env);
  if (!support_of) return out;
  for (size_t i = 0; i < kPrecisions.size(); ++i) {
    const PrecisionSupport support = support_of(kPrecisions[i]);
    Napi::Object o = Napi::Object::New(env);
    o.Set("name", precision_name(kPrecisions[i]));
    o.Set("available", Napi::Boolean::New(env, support.available));
    o.Set("reason", support.reason);
    out.Set(static_cast<uint32_t>(i), o);
  }
  return out;
}

Napi::Object device_object(Napi::Env env, const std::string& id, const std::string& name,
                           const std::string& reason, const SupportOf& support_of, bool checked) {
  Napi::Object o = Napi::Object::New(env);
  o.Set("id", id);
  o.Set("available", Napi::Boolean::New(env, static_cast<bool>(support_of)));
  o.Set("name", name);
  o.Set("reason", reason);
  o.Set("checked", Napi::Boolean::New(env, checked));
  o.Set("precisions", precisions_array(env, support_of));
  return o;
}

Napi::Value list_devices(const Napi::CallbackInfo& info) {
  Napi::Env env = info.Env();
  const Status isa = select_isa_from_environment();
  if (!isa.ok()) throw_status(env, isa);
  Napi::Array out = Napi::Array::New(env);
  out.Set(0u, device_object(env, "cpu", cpu_name(), "always available", cpu_precision, true));
  if (info[0].IsBoolean() && info[0].As<Napi::Boolean>().Value()) return out;
  const CudaProbe& probe = cuda_state(false).probe;
  if (probe.devices == 0) {
    out.Set(1u, device_object(env, "cuda", "CUDA", probe.reason, nullptr, false));
  }
  for (int i = 0; i < probe.devices; ++i) {
    const CudaDeviceInfo& d = probe.device[i];
    SupportOf support_of;
    if (d.usable) support_of = [&d](Precision p) { return cuda_precision(p, d.capability); };
    out.Set(static_cast<uint32_t>(i + 1),
            device_object(env, "cuda:" + std::to_string(d.index), d.name, d.reason, support_of,
                          cuda_checked(d.capability)));
  }
  return out;
}

Napi::Value cuda_info(const Napi::CallbackInfo& info) {
  Napi::Env env = info.Env();
  const CudaState& state = cuda_state(true);
  Napi::Object o = Napi::Object::New(env);
  o.Set("plugin", state.plugin);
  o.Set("built", state.probe.built);
  o.Set("usable", Napi::Boolean::New(env, state.probe.usable != 0));
  o.Set("reason", state.probe.reason);
  Napi::Array libraries = Napi::Array::New(env, static_cast<size_t>(state.probe.libraries));
  for (int i = 0; i < state.probe.libraries; ++i) {
    const CudaLibraryInfo& l = state.probe.library[i];
    Napi::Object library = Napi::Object::New(env);
    library.Set("name", l.name);
    library.Set("usable", Napi::Boolean::New(env, l.usable != 0));
    library.Set("version", l.version);
    library.Set("path", l.path);
    library.Set("reason", l.reason);
    libraries.Set(static_cast<uint32_t>(i), library);
  }
  o.Set("libraries", libraries);
  const std::vector<std::string> made = cuda_choices();
  Napi::Array choices = Napi::Array::New(env, made.size());
  for (size_t i = 0; i < made.size(); ++i) choices.Set(static_cast<uint32_t>(i), made[i]);
  o.Set("choices", choices);
  return o;
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
  method("cudaInfo", cuda_info);
  method("storeInfo", store_object);
  exports.Set("kernels", make_kernels(env));
  exports.Set("datagen", make_datagen(env, environment));
  return exports;
}

NODE_API_MODULE(acd_clip, init)

}  // namespace
}  // namespace acd
