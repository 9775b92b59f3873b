#include "addon/load.h"

#include <algorithm>
#include <atomic>
#include <chrono>
#include <thread>

#include "addon/args.h"
#include "addon/model.h"
#include "backend/cpu/cpu_backend.h"
#include "backend/cuda_plugin.h"
#include "core/thread_team.h"
#include "infer/model_store.h"

namespace acd {
namespace {

struct Spec {
  std::vector<std::string> files;
  std::vector<TensorSource> tensors;
  ModelConfig config;
  std::string share_key;
  int cuda = -1;              // index of a CUDA device; -1: the CPU
  uint64_t budget_bytes = 0;  // of device memory; 0: none
  int threads = 0;
  size_t queue_limit = 0;
};

constexpr int64_t kMaxExtent = int64_t{1} << 40;

TensorPart part_of(Napi::Env env, const Napi::Value& value) {
  const Fields f(env, value, "tensor part");
  TensorPart p;
  p.file = static_cast<size_t>(f.integer("file", 0, 1 << 20));
  p.offset = f.integer("offset", 0, int64_t{1} << 52);
  p.shape = f.integers("shape", 0, kMaxExtent);
  if (f.has("strides")) p.strides = f.integers("strides", 0, kMaxExtent);
  const std::string type = f.string("dtype");
  if (type == "f32")
    p.type = FileType::kF32;
  else if (type == "f16")
    p.type = FileType::kF16;
  else if (type == "bf16")
    p.type = FileType::kBf16;
  else if (type == "f64")
    p.type = FileType::kF64;
  else
    f.fail("f32, f16, bf16 or f64", "dtype");
  return p;
}

Precision precision_of(const Fields& f) {
  const std::string name = f.string("precision");
  for (Precision p : kPrecisions) {
    if (name == precision_name(p)) return p;
  }
  f.fail("fp32, bf16, fp16, int8 or fp8", "precision");
}

ModelConfig config_of(Napi::Env env, const Napi::Value& value) {
  const Fields f(env, value, "config");
  const auto size = [&](const char* name) { return f.integer(name, 0, 1 << 30); };
  ModelConfig c;
  c.image_size = size("imageSize");
  c.patch_size = size("patchSize");
  c.pretrain_grid = size("pretrainGrid");
  c.vision_width = size("visionWidth");
  c.vision_layers = size("visionLayers");
  c.text_width = size("textWidth");
  c.text_layers = size("textLayers");
  c.vocab_size = size("vocabSize");
  c.context_length = size("contextLength");
  c.embed_dim = size("embedDim");
  c.groups = size("groups");
  c.vision_levels = f.integers("visionLevels", 1, 1 << 20);
  c.text_levels = f.integers("textLevels", 1, 1 << 20);
  c.lora_rank = size("loraRank");
  c.lora_alpha = f.number("loraAlpha", -1e6, 1e6);
  c.text_lora_rank = size("textLoraRank");
  c.text_lora_alpha = f.number("textLoraAlpha", -1e6, 1e6);
  c.conv_lora_rank = size("convLoraRank");
  c.conv_lora_alpha = f.number("convLoraAlpha", -1e6, 1e6);
  c.conv_groups = size("convGroups");
  c.kernel_sizes = f.integers("kernelSizes", 1, 1 << 10);
  c.adapter_hidden = size("adapterHidden");
  c.quick_gelu = f.boolean("quickGelu");
  if (f.has("tokenEmbeddingSeed")) {
    c.token_embedding_seed =
        static_cast<uint32_t>(f.integer("tokenEmbeddingSeed", 0, int64_t{0xffffffff}));
  }
  if (size("visionHeads") * 64 != c.vision_width || size("textHeads") * 64 != c.text_width) {
    throw_status(env, Status(Code::kUnsupported,
                             "Expected attention heads of width 64 but received towers of width " +
                                 std::to_string(c.vision_width) + " and " +
                                 std::to_string(c.text_width) + " with other heads"));
  }
  return c;
}

// "cpu" -> -1, "cuda:3" -> 3.
int cuda_index(const Fields& f) {
  const std::string device = f.string("device");
  if (device == "cpu") return -1;
  const std::string prefix = "cuda:";
  const std::string digits = device.substr(std::min(prefix.size(), device.size()));
  const bool number = !digits.empty() && digits.size() <= 2 &&
                      digits.find_first_not_of("0123456789") == std::string::npos;
  if (device.compare(0, prefix.size(), prefix) != 0 || !number) f.fail("cpu or cuda:N", "device");
  return std::stoi(digits);
}

Spec spec_of(Napi::Env env, const Napi::Value& value) {
  const Fields f(env, value, "spec");
  Spec spec;
  const Napi::Array files = f.array("files");
  for (uint32_t i = 0; i < files.Length(); ++i) {
    const Napi::Value v = files.Get(i);
    if (!v.IsString()) f.fail("array of paths", "files");
    spec.files.push_back(v.As<Napi::String>().Utf8Value());
  }
  const Napi::Array tensors = f.array("tensors");
  for (uint32_t i = 0; i < tensors.Length(); ++i) {
    const Fields t(env, tensors.Get(i), "tensor");
    TensorSource source;
    source.name = t.string("name");
    source.shape = t.integers("shape", 0, kMaxExtent);
    const Napi::Array parts = t.array("parts");
    for (uint32_t j = 0; j < parts.Length(); ++j)
      source.parts.push_back(part_of(env, parts.Get(j)));
    if (source.parts.empty()) t.fail("at least one part", "parts");
    spec.tensors.push_back(std::move(source));
  }
  spec.config = config_of(env, f.value("config"));
  spec.config.precision = precision_of(f);
  spec.share_key = f.string("shareKey");
  if (f.has("device")) spec.cuda = cuda_index(f);
  if (f.has("memoryBudget"))
    spec.budget_bytes = static_cast<uint64_t>(f.integer("memoryBudget", 1, int64_t{1} << 52));
  spec.threads = static_cast<int>(f.integer("threads", 0, 1024));
  spec.queue_limit = static_cast<size_t>(f.integer("queueLimit", 1, 1 << 20));
  return spec;
}

class Loading : public Environment::Owned {
 public:
  void shut_down() override {
    cancelled = true;
    join();
  }
  void join() {
    if (thread.joinable()) thread.join();
  }

  std::atomic<bool> cancelled{false};
  std::thread thread;
};

// Reports at most every 50 ms, and the end.
WeightReader::Progress progress_to(const std::shared_ptr<Environment>& environment,
                                   const std::shared_ptr<Napi::FunctionReference>& callback) {
  auto last = std::make_shared<std::chrono::steady_clock::time_point>();
  return [environment, callback, last](int64_t loaded, int64_t total) {
    const auto now = std::chrono::steady_clock::now();
    if (loaded < total && now - *last < std::chrono::milliseconds(50)) return;
    *last = now;
    environment->post([callback, loaded, total](Napi::Env env) {
      if (!callback->IsEmpty()) {
        callback->Call({Napi::Number::New(env, static_cast<double>(loaded)),
                        Napi::Number::New(env, static_cast<double>(total))});
      }
    });
  };
}

Status load_session(Spec& spec, const WeightReader::Progress& progress,
                    const std::atomic<bool>& cancelled, std::unique_ptr<Session>& out) {
  // Also where the weights are there already: a budget that the device cannot have is refused.
  auto device = spec.cuda < 0 ? make_cpu_device(spec.threads)
                              : make_cuda_device(spec.cuda, spec.budget_bytes);
  if (!device.ok()) return device.status();
  auto model = shared_model(spec.share_key, [&]() -> Result<std::shared_ptr<const AcdClip>> {
    WeightReader reader(std::move(spec.files), std::move(spec.tensors), progress,
                        [&] { return cancelled.load(); });
    return AcdClip::load(device.value(), spec.config, reader);
  });
  if (!model.ok()) return model.status();
  // A load that waited for another one of the same files has not looked at it yet.
  if (cancelled) return Status(Code::kAborted, "loading was cancelled");
  out = std::make_unique<Session>(model.value(), spec.queue_limit);
  return Status();
}

}  // namespace

Napi::Value load(const Napi::CallbackInfo& info, const std::shared_ptr<Environment>& environment) {
  Napi::Env env = info.Env();
  if (environment->gone()) throw_status(env, Status(Code::kDisposed, "the process is exiting"));
  auto spec = std::make_shared<Spec>(spec_of(env, info[0]));
  auto callback = std::make_shared<Napi::FunctionReference>();
  if (info[1].IsFunction()) *callback = Napi::Persistent(info[1].As<Napi::Function>());
  // A task that is dropped with its environment would otherwise delete the reference too late.
  callback->SuppressDestruct();
  auto deferred = std::make_shared<Napi::Promise::Deferred>(env);
  auto loading = std::make_shared<Loading>();
  environment->own(loading);
  loading->thread = std::thread([=] {
    auto session = std::make_shared<std::unique_ptr<Session>>();
    const Status status = guarded([&] {
      return load_session(*spec, progress_to(environment, callback), loading->cancelled, *session);
    });
    environment->post([=](Napi::Env env) {
      loading->join();
      environment->end(env);
      callback->Reset();
      if (!status.ok()) {
        deferred->Reject(make_error(env, status).Value());
        return;
      }
      const int threads = spec->threads > 0 ? spec->threads : available_cpus();
      deferred->Resolve(make_model_object(env, environment, std::move(*session), threads));
    });
  });
  // After the thread exists: were there none to be had, nothing would ever call end().
  environment->begin(env);
  Napi::Object handle = Napi::Object::New(env);
  handle.Set("result", deferred->Promise());
  handle.Set("cancel", Napi::Function::New(
                           env, [loading](const Napi::CallbackInfo&) { loading->cancelled = true; },
                           "cancel"));
  return handle;
}

}  // namespace acd
