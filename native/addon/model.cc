#include "addon/model.h"

#include <utility>

#include "addon/args.h"
#include "core/aligned.h"
#include "core/copy.h"
#include "ops/regions/regions.h"

namespace acd {
namespace {

constexpr int64_t kMaxSide = 1 << 20;

class ModelState : public Environment::Owned {
 public:
  ModelState(std::shared_ptr<Environment> environment, std::unique_ptr<Session> session)
      : environment_(std::move(environment)), session_(std::move(session)) {}

  void shut_down() override {
    if (!session_) return;
    session_->close(true, nullptr);
    session_.reset();
  }

  Session& session(Napi::Env env) {
    if (!session_) throw_status(env, Status(Code::kDisposed, "the model was disposed"));
    return *session_;
  }
  bool disposed() const { return !session_; }

  // True for the first of several calls that wait for one disposal.
  bool begin_disposal(const Napi::Promise::Deferred& waiting) {
    disposal_.push_back(waiting);
    return disposal_.size() == 1;
  }
  void end_disposal(Napi::Env env) {
    session_.reset();  // joins a thread that is past its last line
    for (const auto& waiting : std::exchange(disposal_, {})) waiting.Resolve(env.Undefined());
  }
  const std::shared_ptr<Environment>& environment() const { return environment_; }

 private:
  std::shared_ptr<Environment> environment_;
  std::unique_ptr<Session> session_;
  std::vector<Napi::Promise::Deferred> disposal_;
};

using State = std::shared_ptr<ModelState>;

// Pixels that are lent are read where they lie; of others this makes the one copy, and the array is
// the caller's again.
Picture picture_of(Napi::Env env, const State& state, const Fields& f) {
  Picture p;
  p.width = f.integer("width", 1, kMaxSide);
  p.height = f.integer("height", 1, kMaxSide);
  if (f.has("tensor")) {
    p.tensor = typed_array<float>(env, f.value("tensor"), "tensor");
  } else {
    const auto pixels = typed_array_view<uint8_t>(env, f.value("pixels"), "pixels");
    if (f.has("lent") && f.boolean("lent")) {
      p.lent = pixels.data;
      p.lent_bytes = pixels.size;
    } else {
      p.pixels = state->session(env).spare_pixels();
      p.pixels.resize(pixels.size);
      copy_for_another_thread(p.pixels.data(), pixels.data, pixels.size);
    }
  }
  return p;
}

DetectJob detect_job(Napi::Env env, const State& state, const Napi::Value& value) {
  const Fields f(env, value, "job");
  DetectJob job;
  job.picture = picture_of(env, state, f);
  job.text = typed_array<float>(env, f.value("text"), "text");
  job.blur_taps = f.integer("blurTaps", 1, 99);
  if (job.blur_taps % 2 == 0) f.fail("odd integer", "blurTaps");
  job.blur_sigma = static_cast<float>(f.number("blurSigma", 1e-3, 100));
  job.map_weight = f.number("mapWeight", 0, 1);
  const std::string map = f.string("map");
  if (map != "none" && map != "model" && map != "image") f.fail("none, model or image", "map");
  job.map = map == "none" ? MapSize::kNone : map == "model" ? MapSize::kModel : MapSize::kImage;
  if (f.has("regionThreshold")) {
    job.want_regions = true;
    job.region_threshold = static_cast<float>(f.number("regionThreshold", 0, 1));
  }
  if (f.has("regionMinArea")) job.region_min_area = f.integer("regionMinArea", 1, int64_t{1} << 40);
  if (f.has("debug")) job.debug = f.boolean("debug");
  if (f.has("stages")) job.stages = f.boolean("stages");
  return job;
}

Napi::Array stage_objects(Napi::Env env, const std::vector<Stage>& stages) {
  Napi::Array all = Napi::Array::New(env, stages.size());
  for (size_t i = 0; i < stages.size(); ++i) {
    const Stage& s = stages[i];
    Napi::Object o = Napi::Object::New(env);
    o.Set("op", s.op);
    o.Set("rows", static_cast<double>(s.rows));
    o.Set("from", static_cast<double>(s.from));
    o.Set("to", static_cast<double>(s.to));
    o.Set("calls", static_cast<double>(s.calls));
    o.Set("ms", s.ms);
    all.Set(static_cast<uint32_t>(i), o);
  }
  return all;
}

// `map`: the array whose memory the job wrote, or undefined.
Napi::Value detection_object(const Environment& environment, Napi::Env env, const Detection& d,
                             Napi::Value map) {
  const auto number = [env](auto v) { return Napi::Number::New(env, static_cast<double>(v)); };
  const Timing& t = d.timing;
  Napi::Object o = environment.make_detection(
      {number(d.score), number(d.cls), number(d.map_max), map, number(d.map.width),
       number(d.map.height), number(t.queue_ms), number(t.preprocess_ms), number(t.compute_ms),
       number(t.postprocess_ms), number(d.batch)});
  if (d.has_regions) {
    Napi::Array regions = Napi::Array::New(env, d.regions.size());
    for (size_t i = 0; i < d.regions.size(); ++i)
      regions.Set(static_cast<uint32_t>(i), region_object(env, d.regions[i]));
    o.Set("regions", regions);
  }
  if (!t.stages.empty()) {
    o.Get("timing").As<Napi::Object>().Set("stages", stage_objects(env, t.stages));
  }
  if (d.debug) {
    Napi::Object debug = Napi::Object::New(env);
    debug.Set("segTokens", float_array(env, d.seg_tokens));
    debug.Set("detFeatures", float_array(env, d.det_features));
    debug.Set("gate", float_array(env, d.gate));
    debug.Set("groupLogits", float_array(env, d.group_logits));
    debug.Set("detLogits", float_array(env, d.det_logits));
    o.Set("debug", debug);
  }
  return o;
}

Napi::Value embedding_object(const Environment&, Napi::Env env, const Embedding& e, Napi::Value) {
  Napi::Object o = Napi::Object::New(env);
  o.Set("features", float_array(env, e.features));
  if (!e.patches.empty()) o.Set("patches", float_array(env, e.patches));
  return o;
}

// A value kept alive while a job runs. Made and ended on the JavaScript thread; where that thread
// ends first, its environment drops what is left.
class Kept {
 public:
  Kept() = default;
  Kept(Napi::Env env, Napi::Value value) {
    if (napi_create_reference(env, value, 1, &reference_) != napi_ok) throw Napi::Error::New(env);
  }
  // The value, once; undefined where there is none.
  Napi::Value end(Napi::Env env) {
    if (!reference_) return env.Undefined();
    napi_value value = nullptr;
    napi_get_reference_value(env, reference_, &value);
    napi_delete_reference(env, std::exchange(reference_, nullptr));
    return Napi::Value(env, value);
  }

 private:
  napi_ref reference_ = nullptr;
};

// The array whose pixels a job reads where they lie.
Kept lent_pixels(Napi::Env env, const Picture& picture, const Napi::Value& job) {
  return picture.lent ? Kept(env, job.As<Napi::Object>().Get("pixels")) : Kept();
}

// Submits a job and gives JavaScript { id, result }. The state rides along until the promise is
// settled, so a model that nobody references any more finishes what it was asked. `map` comes back
// with the result, `pixels` are kept until then.
template <typename Job, typename R>
Napi::Value submit(Napi::Env env, const State& state, Job job,
                   Napi::Value (*to_js)(const Environment&, Napi::Env, const R&, Napi::Value),
                   Kept map = {}, Kept pixels = {}) {
  auto deferred = std::make_shared<Napi::Promise::Deferred>(env);
  // `ride` moves on into the posted task: were it left behind in the queue's entry, the scheduler
  // thread could drop the last reference and join itself.
  Done<R> done = [ride = state, deferred, to_js, map, pixels](Status status, R&& result) mutable {
    auto shared = std::make_shared<R>(std::move(result));
    const auto environment = ride->environment();
    environment->post([ride = std::move(ride), deferred, to_js, status, shared, map,
                       pixels](Napi::Env env) mutable {
      ride->environment()->end(env);
      pixels.end(env);
      const Napi::Value back = map.end(env);
      if (!status.ok()) {
        deferred->Reject(make_error(env, status).Value());
        return;
      }
      try {
        deferred->Resolve(to_js(*ride->environment(), env, *shared, back));
      } catch (const Napi::Error& error) {
        deferred->Reject(error.Value());  // swallowed, the call would wait for ever
      }
    });
  };
  const Result<uint64_t> id = state->session(env).submit(std::move(job), std::move(done));
  if (!id.ok()) {
    map.end(env);
    pixels.end(env);
    throw_status(env, id.status());
  }
  state->environment()->begin(env);
  const auto number = Napi::Number::New(env, static_cast<double>(id.value()));
  return state->environment()->make_handle({number, deferred->Promise()});
}

// The map is written where JavaScript will read it: its array is made before the work begins, and
// its pages, fresh from the system, are first touched by the thread that computes.
Napi::Value submit_detect(Napi::Env env, const State& state, const Napi::Value& value) {
  DetectJob job = detect_job(env, state, value);
  const Session& session = state->session(env);
  const Status status = session.check(job);
  if (!status.ok()) throw_status(env, status);
  Kept map;
  if (job.map != MapSize::kNone) {
    Napi::Float32Array array =
        state->environment()->unset_floats(env, session.map_extents(job).area());
    job.map_out = array.Data();
    map = Kept(env, array);
  }
  const Kept pixels = lent_pixels(env, job.picture, value);
  return submit<DetectJob, Detection>(env, state, std::move(job), detection_object, map, pixels);
}

TextJob text_job(Napi::Env env, const Napi::CallbackInfo& info, bool with_normal) {
  TextJob job;
  job.tokens = typed_array<int32_t>(env, info[0], "tokens");
  const auto integer = [&](size_t i, const char* name) {
    const double d = info[i].IsNumber() ? info[i].As<Napi::Number>().DoubleValue() : -1;
    if (!(d >= 0 && d <= 1e6))
      throw_status(env, Status(Code::kInvalidArg, std::string("Expected integer for ") + name));
    return static_cast<int64_t>(d);
  };
  job.prompts = integer(1, "prompts");
  job.length = integer(2, "length");
  if (with_normal) {
    job.normal = integer(3, "normal");
    if (job.normal < 1 || job.normal >= job.prompts) {
      throw_status(
          env, Status(Code::kInvalidArg, "Expected at least one normal and one abnormal prompt"));
    }
  }
  if (job.prompts < 1 || static_cast<size_t>(job.prompts * job.length) != job.tokens.size()) {
    throw_status(env, Status(Code::kInvalidArg, "Expected prompts * length tokens"));
  }
  return job;
}

Napi::Value dispose(Napi::Env env, const State& state) {
  Napi::Promise::Deferred deferred(env);
  if (state->disposed()) {
    deferred.Resolve(env.Undefined());
    return deferred.Promise();
  }
  if (!state->begin_disposal(deferred)) return deferred.Promise();
  const std::shared_ptr<Environment> environment = state->environment();
  environment->begin(env);
  state->session(env).close(false, [environment, state] {
    environment->post([environment, state](Napi::Env env) {
      environment->end(env);
      state->end_disposal(env);
    });
  });
  return deferred.Promise();
}

Napi::Value memory_usage(Napi::Env env, const State& state) {
  Napi::Object o = Napi::Object::New(env);
  o.Set("weightsBytes",
        state->disposed() ? 0.0 : static_cast<double>(state->session(env).weight_bytes()));
  o.Set("arenaBytes",
        state->disposed() ? 0.0 : static_cast<double>(state->session(env).workspace_bytes()));
  o.Set("peakBytes", static_cast<double>(peak_bytes()));
  return o;
}

Napi::Object config_object(Napi::Env env, const ModelConfig& c) {
  Napi::Object o = Napi::Object::New(env);
  const auto number = [&](const char* name, double v) { o.Set(name, Napi::Number::New(env, v)); };
  const auto list = [&](const char* name, const std::vector<int64_t>& v) {
    Napi::Array a = Napi::Array::New(env, v.size());
    for (size_t i = 0; i < v.size(); ++i)
      a.Set(static_cast<uint32_t>(i), static_cast<double>(v[i]));
    o.Set(name, a);
  };
  number("imageSize", static_cast<double>(c.image_size));
  number("patchSize", static_cast<double>(c.patch_size));
  number("pretrainGrid", static_cast<double>(c.pretrain_grid));
  number("visionWidth", static_cast<double>(c.vision_width));
  number("visionLayers", static_cast<double>(c.vision_layers));
  number("visionHeads", static_cast<double>(c.vision_heads()));
  number("textWidth", static_cast<double>(c.text_width));
  number("textLayers", static_cast<double>(c.text_layers));
  number("textHeads", static_cast<double>(c.text_heads()));
  number("vocabSize", static_cast<double>(c.vocab_size));
  number("contextLength", static_cast<double>(c.context_length));
  number("embedDim", static_cast<double>(c.embed_dim));
  number("groups", static_cast<double>(c.groups));
  list("visionLevels", c.vision_levels);
  list("textLevels", c.text_levels);
  number("loraRank", static_cast<double>(c.lora_rank));
  number("loraAlpha", c.lora_alpha);
  number("textLoraRank", static_cast<double>(c.text_lora_rank));
  number("textLoraAlpha", c.text_lora_alpha);
  number("convLoraRank", static_cast<double>(c.conv_lora_rank));
  number("convLoraAlpha", c.conv_lora_alpha);
  number("convGroups", static_cast<double>(c.conv_groups));
  list("kernelSizes", c.kernel_sizes);
  number("adapterHidden", static_cast<double>(c.adapter_hidden));
  o.Set("quickGelu", Napi::Boolean::New(env, c.quick_gelu));
  if (c.token_embedding_seed) number("tokenEmbeddingSeed", *c.token_embedding_seed);
  return o;
}

}  // namespace

Napi::Object region_object(Napi::Env env, const Region& r) {
  Napi::Object o = Napi::Object::New(env);
  o.Set("x", r.x);
  o.Set("y", r.y);
  o.Set("width", r.width);
  o.Set("height", r.height);
  o.Set("area", static_cast<double>(r.area));
  o.Set("score", r.score);
  o.Set("mean", r.mean);
  o.Set("cx", r.cx);
  o.Set("cy", r.cy);
  o.Set("polygon", fresh_array<int32_t, Napi::Int32Array>(env, r.polygon.data(), r.polygon.size()));
  return o;
}

Napi::Object make_model_object(Napi::Env env, const std::shared_ptr<Environment>& environment,
                               std::unique_ptr<Session> session, int threads) {
  Napi::Object o = Napi::Object::New(env);
  o.Set("config", config_object(env, session->config()));
  o.Set("precision", precision_name(session->config().precision));
  o.Set("threads", threads);
  o.Set("lookahead", static_cast<double>(session->lookahead()));
  const State state = std::make_shared<ModelState>(environment, std::move(session));
  environment->own(state);
  const auto method = [&](const char* name, auto body) {
    o.Set(name, Napi::Function::New(
                    env,
                    [state, body](const Napi::CallbackInfo& info) -> Napi::Value {
                      return entry_point(info.Env(), [&] { return body(info.Env(), state, info); });
                    },
                    name));
  };
  method("detect", [](Napi::Env env, const State& s, const Napi::CallbackInfo& info) {
    return submit_detect(env, s, info[0]);
  });
  method("embed", [](Napi::Env env, const State& s, const Napi::CallbackInfo& info) {
    const Fields f(env, info[0], "job");
    EmbedJob job{picture_of(env, s, f), f.boolean("patches")};
    const Kept pixels = lent_pixels(env, job.picture, info[0]);
    return submit<EmbedJob, Embedding>(env, s, std::move(job), embedding_object, {}, pixels);
  });
  const auto floats = [](const Environment&, Napi::Env env, const std::vector<float>& v,
                         Napi::Value) -> Napi::Value { return float_array(env, v); };
  method("encodeText", [floats](Napi::Env env, const State& s, const Napi::CallbackInfo& info) {
    return submit<TextJob, std::vector<float>>(env, s, text_job(env, info, false), floats);
  });
  method("encodeClass", [floats](Napi::Env env, const State& s, const Napi::CallbackInfo& info) {
    return submit<TextJob, std::vector<float>>(env, s, text_job(env, info, true), floats);
  });
  method("cancel",
         [](Napi::Env env, const State& s, const Napi::CallbackInfo& info) -> Napi::Value {
           if (!s->disposed() && info[0].IsNumber()) {
             s->session(env).cancel(static_cast<uint64_t>(info[0].As<Napi::Number>().Int64Value()));
           }
           return env.Undefined();
         });
  method("queueDepth", [](Napi::Env env, const State& s, const Napi::CallbackInfo&) -> Napi::Value {
    return Napi::Number::New(env,
                             s->disposed() ? 0.0 : static_cast<double>(s->session(env).waiting()));
  });
  method("graphFault", [](Napi::Env env, const State& s, const Napi::CallbackInfo&) -> Napi::Value {
    return Napi::String::New(env, s->disposed() ? "" : s->session(env).graph_fault());
  });
  method("memoryUsage", [](Napi::Env env, const State& s, const Napi::CallbackInfo&) {
    return memory_usage(env, s);
  });
  method("dispose",
         [](Napi::Env env, const State& s, const Napi::CallbackInfo&) { return dispose(env, s); });
  return o;
}

}  // namespace acd
