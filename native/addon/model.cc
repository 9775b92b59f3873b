#include "addon/model.h"

#include <cmath>
#include <utility>

#include "addon/args.h"
#include "addon/calls.h"
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

// The job's picture, whose pixels still lie where JavaScript has them.
Picture picture_of(Napi::Env env, int64_t width, int64_t height, Napi::Value pixels,
                   Napi::Value tensor) {
  Picture p;
  p.width = width;
  p.height = height;
  if (!tensor.IsUndefined()) {
    p.tensor = typed_array<float>(env, tensor, "tensor");
  } else {
    const auto view = typed_array_view<uint8_t>(env, pixels, "pixels");
    p.lent = view.data;
    p.lent_bytes = view.size;
  }
  return p;
}

// Pixels that are not lent: this makes the one copy, and the array is the caller's again.
void own_pixels(Picture& p, Session& session) {
  if (!p.lent) return;
  p.pixels = session.spare_pixels();
  p.pixels.resize(p.lent_bytes);
  copy_for_another_thread(p.pixels.data(), p.lent, p.lent_bytes);
  p.lent = nullptr;
}

// One of Calls::numbers(), checked. TypeScript has validated what users pass; this is the second
// door.
double job_number(Napi::Env env, const double* numbers, JobNumber which, const char* name,
                  double low, double high) {
  const double d = numbers[which];
  if (d >= low && d <= high) return d;
  throw_status(
      env, Status(Code::kInvalidArg, "Expected number between " + std::to_string(low) + " and " +
                                         std::to_string(high) + " for job." + name));
}

int64_t job_integer(Napi::Env env, const double* numbers, JobNumber which, const char* name,
                    int64_t low, int64_t high) {
  const double d =
      job_number(env, numbers, which, name, static_cast<double>(low), static_cast<double>(high));
  if (d == static_cast<double>(static_cast<int64_t>(d))) return static_cast<int64_t>(d);
  throw_status(env, Status(Code::kInvalidArg, std::string("Expected integer for job.") + name));
}

// `n`: Calls::numbers() of a job. What else it holds comes as it was given.
DetectJob detect_job(Napi::Env env, const double* n, Napi::Value pixels, Napi::Value tensor,
                     Napi::Value text) {
  DetectJob job;
  const int64_t width = job_integer(env, n, kJobWidth, "width", 1, kMaxSide);
  const int64_t height = job_integer(env, n, kJobHeight, "height", 1, kMaxSide);
  job.picture = picture_of(env, width, height, pixels, tensor);
  job.text = typed_array<float>(env, text, "text");
  job.blur_taps = job_integer(env, n, kJobBlurTaps, "blurTaps", 1, 99);
  if (job.blur_taps % 2 == 0)
    throw_status(env, Status(Code::kInvalidArg, "Expected odd integer for job.blurTaps"));
  job.blur_sigma = static_cast<float>(job_number(env, n, kJobBlurSigma, "blurSigma", 1e-3, 100));
  job.map_weight = job_number(env, n, kJobMapWeight, "mapWeight", 0, 1);
  if (std::isinf(n[kJobMap]))
    throw_status(env, Status(Code::kInvalidArg, "Expected none, model or image for job.map"));
  job.map = n[kJobMap] == 0 ? MapSize::kNone : n[kJobMap] == 1 ? MapSize::kModel : MapSize::kImage;
  if (!std::isnan(n[kJobRegionThreshold])) {
    job.want_regions = true;
    job.region_threshold =
        static_cast<float>(job_number(env, n, kJobRegionThreshold, "regionThreshold", 0, 1));
  }
  if (!std::isnan(n[kJobRegionMinArea])) {
    job.region_min_area =
        job_integer(env, n, kJobRegionMinArea, "regionMinArea", 1, int64_t{1} << 40);
  }
  const auto flag = [&](JobNumber which, const char* name) {
    if (std::isinf(n[which]))
      throw_status(env, Status(Code::kInvalidArg, std::string("Expected boolean for job.") + name));
    return n[which] == 1;
  };
  flag(kJobLent, "lent");
  job.debug = flag(kJobDebug, "debug");
  job.stages = flag(kJobStages, "stages");
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

// What not every detection has, or undefined.
Napi::Value more_of(Napi::Env env, const Detection& d) {
  const Timing& t = d.timing;
  if (!d.has_regions && !d.debug && t.stages.empty()) return env.Undefined();
  Napi::Object o = Napi::Object::New(env);
  if (d.has_regions) {
    Napi::Array regions = Napi::Array::New(env, d.regions.size());
    for (size_t i = 0; i < d.regions.size(); ++i)
      regions.Set(static_cast<uint32_t>(i), region_object(env, d.regions[i]));
    o.Set("regions", regions);
  }
  if (!t.stages.empty()) o.Set("stages", stage_objects(env, t.stages));
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

void settle(Napi::Env env, const Calls& calls, Calls::Ticket ticket, const Detection& d) {
  calls.resolve_detection(ticket, d, more_of(env, d));
}

void settle(Napi::Env env, const Calls& calls, Calls::Ticket ticket, const Embedding& e) {
  Napi::Object o = Napi::Object::New(env);
  o.Set("features", float_array(env, e.features));
  if (!e.patches.empty()) o.Set("patches", float_array(env, e.patches));
  calls.resolve(ticket, o);
}

void settle(Napi::Env env, const Calls& calls, Calls::Ticket ticket, const std::vector<float>& v) {
  calls.resolve(ticket, float_array(env, v));
}

// Submits a job whose call has the ticket. The state rides along until the promise is settled, so a
// model that nobody references any more finishes what it was asked.
template <typename R, typename Job>
void submit(Napi::Env env, const State& state, Calls::Ticket ticket, Job job) {
  // `ride` moves on into the posted task: were it left behind in the queue's entry, the scheduler
  // thread could drop the last reference and join itself.
  Done<R> done = [ride = state, ticket](Status status, R&& result) mutable {
    const auto environment = ride->environment();
    auto shared = std::make_shared<R>(std::move(result));
    environment->post([ride = std::move(ride), ticket, status = std::move(status),
                       shared = std::move(shared)](Napi::Env env) {
      ride->environment()->end(env);
      const Calls& calls = ride->environment()->calls();
      if (!status.ok()) {
        calls.reject(ticket, make_error(env, status).Value());
        return;
      }
      try {
        settle(env, calls, ticket, *shared);
      } catch (const Napi::Error& error) {
        calls.reject(ticket, error.Value());  // swallowed, the call would wait for ever
      }
    });
  };
  const Result<uint64_t> id = state->session(env).submit(std::move(job), std::move(done));
  if (!id.ok()) throw_status(env, id.status());
  state->environment()->begin(env);
  state->environment()->calls().took(id.value());
}

// (ticket, pixels, tensor, text), as Calls::detect_method calls it. The map is written where
// JavaScript will read it: its array is made before the work begins, and its pages, fresh from the
// system, are first touched by the thread that computes.
Napi::Value submit_detect(Napi::Env env, const State& state, const Napi::CallbackInfo& info) {
  if (info.Length() == 0) throw_status(env, Status(Code::kInvalidArg, "Expected object for job"));
  const double* numbers = state->environment()->calls().numbers();
  DetectJob job = detect_job(env, numbers, info[1], info[2], info[3]);
  const bool lent = numbers[kJobLent] == 1;
  Session& session = state->session(env);
  const Status status = session.check(job);
  if (!status.ok()) throw_status(env, status);
  Napi::Value map = env.Undefined();
  if (job.map != MapSize::kNone) {
    Napi::Float32Array array =
        state->environment()->unset_floats(env, session.map_extents(job).area());
    job.map_out = array.Data();
    map = array;
  }
  if (!lent) own_pixels(job.picture, session);
  submit<Detection>(env, state, info[0].As<Napi::Number>().DoubleValue(), std::move(job));
  return map;
}

// (ticket, job), as Calls::method calls it. Gives back pixels that are read where they lie.
Napi::Value submit_embed(Napi::Env env, const State& state, const Napi::CallbackInfo& info) {
  const Fields f(env, info[1], "job");
  const int64_t width = f.integer("width", 1, kMaxSide);
  const int64_t height = f.integer("height", 1, kMaxSide);
  const Napi::Value pixels = f.value("pixels");
  EmbedJob job;
  job.patches = f.boolean("patches");
  const bool lent = f.has("lent") && f.boolean("lent");
  job.picture = picture_of(env, width, height, pixels, f.value("tensor"));
  if (!lent) own_pixels(job.picture, state->session(env));
  submit<Embedding>(env, state, info[0].As<Napi::Number>().DoubleValue(), std::move(job));
  return pixels;
}

// (ticket, tokens, prompts, length[, normal]), as Calls::method calls it.
TextJob text_job(Napi::Env env, const Napi::CallbackInfo& info, bool with_normal) {
  TextJob job;
  job.tokens = typed_array<int32_t>(env, info[1], "tokens");
  const auto integer = [&](size_t i, const char* name) {
    const double d = info[i].IsNumber() ? info[i].As<Napi::Number>().DoubleValue() : -1;
    if (!(d >= 0 && d <= 1e6))
      throw_status(env, Status(Code::kInvalidArg, std::string("Expected integer for ") + name));
    return static_cast<int64_t>(d);
  };
  job.prompts = integer(2, "prompts");
  job.length = integer(3, "length");
  if (with_normal) {
    job.normal = integer(4, "normal");
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
  const auto function = [&](const char* name, auto body) {
    return Napi::Function::New(
        env,
        [state, body](const Napi::CallbackInfo& info) -> Napi::Value {
          return entry_point(info.Env(), [&] { return body(info.Env(), state, info); });
        },
        name);
  };
  const auto method = [&](const char* name, auto body) { o.Set(name, function(name, body)); };
  const Calls& calls = environment->calls();
  o.Set("detect", calls.detect_method(function("detect", submit_detect)));
  o.Set("embed", calls.method(function("embed", submit_embed)));
  const auto text_method = [&](const char* name, bool with_normal) {
    const auto body = [with_normal](Napi::Env env, const State& s, const Napi::CallbackInfo& info) {
      submit<std::vector<float>>(env, s, info[0].As<Napi::Number>().DoubleValue(),
                                 text_job(env, info, with_normal));
      return env.Undefined();
    };
    o.Set(name, calls.method(function(name, body)));
  };
  text_method("encodeText", false);
  text_method("encodeClass", true);
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
