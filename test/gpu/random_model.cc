#include "random_model.h"

#include <unistd.h>

#include <algorithm>
#include <cmath>
#include <cstdio>

namespace acd::test {
namespace {

constexpr size_t kPiece = size_t{1} << 20;

float next(uint32_t& state, float scale) {
  state = state * 1664525u + 1013904223u;
  return scale * (static_cast<float>(state >> 8) * 0x1p-23f - 1.0f);
}

}  // namespace

std::vector<float> random_floats(size_t n, uint32_t seed, float scale) {
  std::vector<float> out(n);
  uint32_t state = seed * 2654435761u + 1;
  for (float& f : out) f = next(state, scale);
  return out;
}

ModelConfig small_config() {
  ModelConfig c;
  c.image_size = 56;
  c.patch_size = 14;
  c.pretrain_grid = 3;
  c.vision_width = 128;
  c.text_width = c.embed_dim = 64;
  c.vision_layers = c.text_layers = 4;
  c.vocab_size = 40;
  c.context_length = 12;
  c.groups = 2;
  c.vision_levels = c.text_levels = {2, 4};
  c.lora_rank = 8;
  c.text_lora_rank = 4;
  c.conv_lora_rank = 4;
  c.kernel_sizes = {3, 5};
  c.adapter_hidden = 32;
  return c;
}

ModelConfig vit_l_config() {
  ModelConfig c;
  c.image_size = 518;
  c.patch_size = 14;
  c.pretrain_grid = 24;
  c.vision_width = 1024;
  c.text_width = c.embed_dim = 768;
  c.vision_layers = 24;
  c.text_layers = 12;
  c.vocab_size = 1000;
  c.context_length = 77;
  c.groups = 4;
  c.vision_levels = {6, 12, 18, 24};
  c.text_levels = {3, 6, 9, 12};
  c.lora_rank = 16;
  c.text_lora_rank = 16;
  c.conv_lora_rank = 8;
  c.kernel_sizes = {3, 5};
  c.adapter_hidden = 256;
  return c;
}

RandomModel::RandomModel(const ModelConfig& config) : config_(config) {
  const char* folder = std::getenv("TMPDIR");
  path_ = std::string(folder ? folder : "/tmp") + "/acd-random-XXXXXX";
  file_ = ::fdopen(::mkstemp(path_.data()), "wb");
  const ModelConfig& c = config_;
  const int64_t d = c.vision_width, w = c.text_width, p = c.patch_size;
  add("visual.conv1.weight", {d, 3, p, p}, 0, 3 * p * p);
  add("visual.class_embedding", {d}, 0, 25);
  add("visual.positional_embedding", {1 + c.pretrain_grid * c.pretrain_grid, d}, 0, 25);
  add("visual.ln_pre.weight", {d}, 1, 25);
  add("visual.ln_pre.bias", {d}, 0, 25);
  add_tower("visual.transformer.", d, c.vision_layers);
  add("token_embedding.weight", {c.vocab_size, w}, 0, 25);
  add("positional_embedding", {c.context_length, w}, 0, 25);
  add_tower("transformer.", w, c.text_layers);
  add_adapters();
  std::fclose(file_);
}

RandomModel::~RandomModel() { std::remove(path_.c_str()); }

void RandomModel::add_adapters() {
  const ModelConfig& c = config_;
  const int64_t d = c.vision_width, w = c.text_width, e = c.embed_dim, h = c.adapter_hidden;
  const int64_t r = c.lora_rank, q = c.conv_lora_rank, t = c.text_lora_rank;
  const auto kernels = static_cast<int64_t>(c.kernel_sizes.size());
  for (int64_t i = 0; i < c.groups; ++i) {
    const std::string n = std::to_string(i), image = "image_adapter.", text = "text_adapter.";
    const std::string lora = image + "lora_adapters." + n + ".";
    add(image + "m_i_w." + n + ".i_w", {1, 1, d}, 0.3f, 25);
    for (int64_t j = 0; j < kernels; ++j) {
      const std::string block = lora + "conv_lora_blocks." + std::to_string(j) + ".";
      const int64_t k = c.kernel_sizes[static_cast<size_t>(j)];
      add(block + "lora_A", {d, r}, 0, d);
      add(block + "lora_B", {r, d}, 0, r);
      add(block + "conv_lora_A.weight", {q, r / c.conv_groups, k, k}, 0, r * k * k);
      add(block + "conv_lora_B.weight", {r, q / c.conv_groups, k, k}, 0, q * k * k);
    }
    add(lora + "fusion_conv.weight", {d, kernels * d, 1, 1}, 0, kernels * d);
    for (const char* head : {"seg", "det"}) {
      const std::string fc = image + head + "_proj." + n + ".fc.";
      add(image + head + "_layer_norms." + n + ".weight", {e}, 1, 25);
      add(image + head + "_layer_norms." + n + ".bias", {e}, 0, 25);
      add(fc + "0.weight", {h, d}, 0, d);
      add(fc + "0.bias", {h}, 0, 25);
      add(fc + "2.weight", {e, h}, 0, h);
      add(fc + "2.bias", {e}, 0, 25);
    }
    const std::string gate = image + "vision_text_gate." + n + ".";
    add(gate + "0.weight", {h, e}, 0, e);
    add(gate + "0.bias", {h}, 0, 25);
    add(gate + "2.weight", {2 * c.groups, h}, 0, h);
    add(gate + "2.bias", {2 * c.groups}, 0, 25);
    add(text + "m_t_w." + n + ".i_w", {1, 1, w}, 0.3f, 25);
    add(text + "lora_adapters." + n + ".lora_A", {w, t}, 0, w);
    add(text + "lora_adapters." + n + ".lora_B", {t, w}, 0, t);
    add(text + "layer_norms." + n + ".weight", {w}, 1, 25);
    add(text + "layer_norms." + n + ".bias", {w}, 0, 25);
  }
}

void RandomModel::add_tower(const std::string& prefix, int64_t width, int64_t layers) {
  for (int64_t i = 0; i < layers; ++i) {
    const std::string b = prefix + "resblocks." + std::to_string(i) + ".";
    for (const char* norm : {"ln_1", "ln_2"}) {
      add(b + norm + ".weight", {width}, 1, 25);
      add(b + norm + ".bias", {width}, 0, 25);
    }
    add(b + "attn.in_proj_weight", {3 * width, width}, 0, width);
    add(b + "attn.in_proj_bias", {3 * width}, 0, 25);
    add(b + "attn.out_proj.weight", {width, width}, 0, width);
    add(b + "attn.out_proj.bias", {width}, 0, 25);
    add(b + "mlp.c_fc.weight", {4 * width, width}, 0, width);
    add(b + "mlp.c_fc.bias", {4 * width}, 0, 25);
    add(b + "mlp.c_proj.weight", {width, 4 * width}, 0, 4 * width);
    add(b + "mlp.c_proj.bias", {width}, 0, 25);
  }
}

void RandomModel::add(const std::string& name, std::vector<int64_t> shape, float offset,
                      int64_t fan_in) {
  TensorPart part;
  part.offset = offset_;
  part.shape = shape;
  size_t n = 1;
  for (int64_t s : shape) n *= static_cast<size_t>(s);
  const float scale = 1.0f / std::sqrt(static_cast<float>(fan_in));
  std::vector<float> piece;
  for (size_t done = 0; done < n; done += piece.size()) {
    piece.resize(std::min(kPiece, n - done));
    for (float& f : piece) f = offset + next(state_, scale);
    std::fwrite(piece.data(), sizeof(float), piece.size(), file_);
  }
  offset_ += static_cast<int64_t>(n * sizeof(float));
  tensors_.push_back({name, std::move(shape), {part}});
}

Result<std::shared_ptr<const AcdClip>> RandomModel::load(const std::shared_ptr<Device>& device,
                                                         Precision precision) const {
  ModelConfig config = config_;
  config.precision = precision;
  WeightReader reader({path_}, tensors_, nullptr, nullptr);
  return AcdClip::load(device, config, reader);
}

}  // namespace acd::test
