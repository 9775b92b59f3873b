#include "tiny_model.h"

#include <unistd.h>

#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <random>

#include "backend/cpu/cpu_backend.h"
#include "forwarded_ops.h"

namespace acd::test {

TinyModel::TinyModel(int64_t vision_width) {
  ModelConfig& c = config_;
  c.image_size = 28;
  c.patch_size = 14;
  c.pretrain_grid = 3;
  c.vision_width = vision_width;
  c.text_width = c.embed_dim = 64;
  c.vision_layers = c.text_layers = 2;
  c.vocab_size = 40;
  c.context_length = 8;
  c.groups = 2;
  c.vision_levels = c.text_levels = {1, 2};
  c.lora_rank = c.text_lora_rank = 4;
  c.conv_lora_rank = 2;
  c.kernel_sizes = {3};
  c.adapter_hidden = 8;
  const int64_t d = c.vision_width, w = c.text_width, e = c.embed_dim, h = c.adapter_hidden;
  add("visual.conv1.weight", {d, 3, 14, 14});
  add("visual.class_embedding", {d});
  add("visual.positional_embedding", {10, d});
  add("visual.ln_pre.weight", {d}, 1);
  add("visual.ln_pre.bias", {d});
  add_tower("visual.transformer.", d, c.vision_layers);
  add("token_embedding.weight", {c.vocab_size, w});
  add("positional_embedding", {c.context_length, w});
  add_tower("transformer.", w, c.text_layers);
  for (int64_t i = 0; i < c.groups; ++i) {
    const std::string n = std::to_string(i), image = "image_adapter.", text = "text_adapter.";
    const std::string lora = image + "lora_adapters." + n + ".",
                      block = lora + "conv_lora_blocks.0.";
    add(image + "m_i_w." + n + ".i_w", {1, 1, d}, 0.3f);
    add(block + "lora_A", {d, 4});
    add(block + "lora_B", {4, d});
    add(block + "conv_lora_A.weight", {2, 4, 3, 3});
    add(block + "conv_lora_B.weight", {4, 2, 3, 3});
    add(lora + "fusion_conv.weight", {d, d, 1, 1});
    for (const char* head : {"seg", "det"}) {
      const std::string fc = image + head + "_proj." + n + ".fc.";
      add(image + head + "_layer_norms." + n + ".weight", {e}, 1);
      add(image + head + "_layer_norms." + n + ".bias", {e});
      add(fc + "0.weight", {h, d});
      add(fc + "0.bias", {h});
      add(fc + "2.weight", {e, h});
      add(fc + "2.bias", {e});
    }
    const std::string gate = image + "vision_text_gate." + n + ".";
    add(gate + "0.weight", {h, e});
    add(gate + "0.bias", {h});
    add(gate + "2.weight", {2 * c.groups, h});
    add(gate + "2.bias", {2 * c.groups});
    add(text + "m_t_w." + n + ".i_w", {1, 1, w}, 0.3f);
    add(text + "lora_adapters." + n + ".lora_A", {w, 4});
    add(text + "lora_adapters." + n + ".lora_B", {4, w});
    add(text + "layer_norms." + n + ".weight", {w}, 1);
    add(text + "layer_norms." + n + ".bias", {w});
  }
  char name[] = "/tmp/acd-tiny-XXXXXX";
  const int fd = ::mkstemp(name);
  path_ = name;
  const auto bytes = static_cast<ssize_t>(data_.size() * sizeof(float));
  if (fd < 0 || ::write(fd, data_.data(), static_cast<size_t>(bytes)) != bytes) std::abort();
  ::close(fd);
}

TinyModel::~TinyModel() { std::remove(path_.c_str()); }

void TinyModel::add(const std::string& name, std::vector<int64_t> shape, float offset) {
  TensorPart part;
  part.offset = static_cast<int64_t>(data_.size() * sizeof(float));
  part.shape = shape;
  size_t n = 1;
  for (int64_t s : shape) n *= static_cast<size_t>(s);
  std::minstd_rand random(static_cast<unsigned>(data_.size() + 1));
  std::uniform_real_distribution<float> values(-0.2f, 0.2f);
  for (size_t i = 0; i < n; ++i) data_.push_back(offset + values(random));
  tensors_.push_back({name, std::move(shape), {part}});
}

void TinyModel::add_tower(const std::string& prefix, int64_t width, int64_t layers) {
  for (int64_t i = 0; i < layers; ++i) {
    const std::string b = prefix + "resblocks." + std::to_string(i) + ".";
    for (const char* norm : {"ln_1", "ln_2"}) {
      add(b + norm + ".weight", {width}, 1);
      add(b + norm + ".bias", {width});
    }
    add(b + "attn.in_proj_weight", {3 * width, width});
    add(b + "attn.in_proj_bias", {3 * width});
    add(b + "attn.out_proj.weight", {width, width});
    add(b + "attn.out_proj.bias", {width});
    add(b + "mlp.c_fc.weight", {4 * width, width});
    add(b + "mlp.c_fc.bias", {4 * width});
    add(b + "mlp.c_proj.weight", {width, 4 * width});
    add(b + "mlp.c_proj.bias", {width});
  }
}

Result<std::shared_ptr<const AcdClip>> TinyModel::load(std::shared_ptr<Device> device,
                                                       Precision precision) const {
  WeightReader reader({path_}, tensors_, nullptr, nullptr);
  ModelConfig config = config_;
  config.precision = precision;
  return AcdClip::load(std::move(device), config, reader);
}

namespace {

thread_local std::string t_reason;

}  // namespace

// The table's functions; `self` is the FaultyDevice.
struct FaultyDevice::Entries {
  static FaultyDevice& of(void* self) { return *static_cast<FaultyDevice*>(self); }

  template <typename Params, Status (Device::*Op)(const Params&) const>
  struct Forward {
    static int call(void* self, void*, const Params* p) {
      if (const int failed = of(self).enter()) return failed;
      return of(self).done((*of(self).inner_.*Op)(*p));
    }
  };

  static BackendTable table(FaultyDevice* self) {
    BackendTable t = {};
    t.abi_version = kAbiVersion;
    t.struct_bytes = sizeof t;
    t.name = "faulty";
    t.self = self;
    t.destroy = [](void*) {};
    t.last_error = [](void*) { return t_reason.c_str(); };
    t.check_precision = [](void* s, Precision precision) {
      return of(s).done(of(s).inner_->check_precision(precision));
    };
    t.alloc = [](void* s, void*, size_t bytes, void** out) {
      ++of(s).allocations_;
      if (const int failed = of(s).enter()) return failed;
      return of(s).done(of(s).inner_->alloc(bytes, out));
    };
    t.release = [](void* s, void*, void* memory, size_t bytes) {
      of(s).inner_->release(memory, bytes);
    };
    t.upload = [](void* s, void*, void* to, const void* from, size_t bytes) {
      of(s).door.pass();
      if (const int failed = of(s).enter()) return failed;
      return of(s).done(of(s).inner_->upload(to, from, bytes));
    };
    t.download = [](void* s, void*, void* to, const void* from, size_t bytes) {
      if (const int failed = of(s).enter()) return failed;
      return of(s).done(of(s).inner_->download(to, from, bytes));
    };
    t.synchronize = [](void* s, void*) { return of(s).done(of(s).inner_->synchronize()); };
    t.pack_linear = [](void* s, const LinearWeights* weights, PackedLinear** out) {
      if (const int failed = of(s).enter()) return failed;
      return of(s).done(of(s).inner_->pack_linear(*weights, out));
    };
    t.linear_bytes = [](void* s, const PackedLinear* packed) {
      return of(s).inner_->linear_bytes(packed);
    };
    t.release_linear = [](void* s, PackedLinear* packed) { of(s).inner_->release_linear(packed); };
    forward_ops<Forward>(t);
    return t;
  }
};

FaultyDevice::FaultyDevice(int threads)
    : inner_(make_cpu_device(threads).value()),
      device_(Device::adopt(Entries::table(this)).value()) {}

int FaultyDevice::enter() {
  ++calls_;
  if (left_ > 0 && --left_ == 0) {
    return done(Status(Code::kOutOfMemory, "made to fail"));
  }
  return 0;
}

int FaultyDevice::done(const Status& status) {
  if (!status.ok()) t_reason = status.message();
  return static_cast<int>(status.code());
}

}  // namespace acd::test
