#include "addon/datagen.h"

#include <thread>

#include "addon/args.h"
#include "datagen/generate.h"

namespace acd {
namespace {

struct Drawn {
  datagen::Label label;
  std::vector<uint8_t> rgb, mask, clean;
};

class Drawing : public Environment::Owned {
 public:
  void shut_down() override { join(); }
  void join() {
    if (thread.joinable()) thread.join();
  }
  std::thread thread;
};

datagen::Request request_of(Napi::Env env, const Napi::Value& value) {
  const Fields f(env, value, "request");
  datagen::Request q;
  q.seed = static_cast<uint64_t>(f.integer("seed", 0, int64_t{1} << 53));
  q.index = static_cast<uint64_t>(f.integer("index", 0, int64_t{1} << 53));
  q.size = static_cast<int>(f.integer("size", datagen::kMinSize, datagen::kMaxSize));
  q.class_id = static_cast<int>(f.integer("classId", 0, datagen::class_count() - 1));
  q.defect = static_cast<int>(f.integer("defect", datagen::kNormal, datagen::kDefectCount - 1));
  q.abnormal_ratio = 1.0f;
  q.shared_design = f.boolean("sharedDesign");
  return q;
}

Napi::Object sample_object(Napi::Env env, const Drawn& drawn) {
  const auto bytes = [&](const std::vector<uint8_t>& v) {
    return fresh_array<uint8_t, Napi::Uint8Array>(env, v.data(), v.size());
  };
  Napi::Object o = Napi::Object::New(env);
  o.Set("classId", drawn.label.class_id);
  o.Set("label", drawn.label.label);
  o.Set("defect", drawn.label.defect);
  o.Set("area", drawn.label.area);
  o.Set("pixels", bytes(drawn.rgb));
  o.Set("mask", bytes(drawn.mask));
  o.Set("clean", bytes(drawn.clean));
  return o;
}

Napi::Value sample(const Napi::CallbackInfo& info,
                   const std::shared_ptr<Environment>& environment) {
  Napi::Env env = info.Env();
  const datagen::Request q = request_of(env, info[0]);
  if (environment->gone()) throw_status(env, Status(Code::kDisposed, "the process is exiting"));
  auto deferred = std::make_shared<Napi::Promise::Deferred>(env);
  auto drawing = std::make_shared<Drawing>();
  environment->own(drawing);
  drawing->thread = std::thread([=] {
    auto drawn = std::make_shared<Drawn>();
    const Status status = guarded([&] {
      const size_t pixels = static_cast<size_t>(q.size) * static_cast<size_t>(q.size);
      drawn->rgb.resize(3 * pixels), drawn->mask.resize(pixels), drawn->clean.resize(3 * pixels);
      drawn->label =
          datagen::generate(q, drawn->rgb.data(), drawn->mask.data(), drawn->clean.data());
      return Status();
    });
    environment->post([=](Napi::Env env) {
      drawing->join();
      environment->end(env);
      if (status.ok())
        deferred->Resolve(sample_object(env, *drawn));
      else
        deferred->Reject(make_error(env, status).Value());
    });
  });
  // After the thread exists: were there none to be had, nothing would ever call end().
  environment->begin(env);
  return deferred->Promise();
}

Napi::Value classes(const Napi::CallbackInfo& info) {
  Napi::Array out = Napi::Array::New(info.Env());
  for (int id = 0; id < datagen::class_count(); ++id) {
    const datagen::ClassInfo& c = datagen::class_info(id);
    Napi::Object o = Napi::Object::New(info.Env());
    o.Set("name", c.name);
    o.Set("noun", c.noun);
    o.Set("isObject", Napi::Boolean::New(info.Env(), c.is_object));
    o.Set("heldOut", Napi::Boolean::New(info.Env(), c.held_out));
    out.Set(static_cast<uint32_t>(id), o);
  }
  return out;
}

Napi::Value defects(const Napi::CallbackInfo& info) {
  Napi::Array out = Napi::Array::New(info.Env());
  for (int kind = 0; kind < datagen::kDefectCount; ++kind)
    out.Set(static_cast<uint32_t>(kind), datagen::defect_name(kind));
  return out;
}

}  // namespace

Napi::Object make_datagen(Napi::Env env, const std::shared_ptr<Environment>& environment) {
  Napi::Object o = Napi::Object::New(env);
  const auto method = [&](const char* name, auto body) {
    o.Set(name, Napi::Function::New(
                    env,
                    [body](const Napi::CallbackInfo& info) -> Napi::Value {
                      return entry_point(info.Env(), [&] { return body(info); });
                    },
                    name));
  };
  method("sample",
         [environment](const Napi::CallbackInfo& info) { return sample(info, environment); });
  method("classes", classes);
  method("defects", defects);
  return o;
}

}  // namespace acd
