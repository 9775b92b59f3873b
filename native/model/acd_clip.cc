#include "model/acd_clip.h"

#include <algorithm>
#include <cmath>

#include "core/stage_clock.h"
#include "ops/resize_positions/resize_positions.h"

namespace acd {
namespace {

Status aborted() { return Status(Code::kAborted, "the call was cancelled"); }

// Which group ends after this 1-based layer, or -1.
int64_t group_after(const std::vector<int64_t>& levels, int64_t layer) {
  const auto it = std::find(levels.begin(), levels.end(), layer);
  return it == levels.end() ? -1 : it - levels.begin();
}

// What a GPU computes in about the time that the host takes to ask for its kernels one by one:
// three ViT-L images.
constexpr double kGraphFlop = 4e12;

bool blurred_alike(const ImageRequest& a, const ImageRequest& b) {
  return !a.text == !b.text && a.blur_taps == b.blur_taps && a.blur_sigma == b.blur_sigma;
}

Status keep(Result<Floats> made, Floats& to) {
  if (made.ok()) to = std::move(made.value());
  return made.status();
}

}  // namespace

Result<std::shared_ptr<const AcdClip>> AcdClip::load(std::shared_ptr<Device> device,
                                                     const ModelConfig& config,
                                                     WeightReader& reader) {
  ACD_RETURN_IF_ERROR(check_config(config));
  ACD_RETURN_IF_ERROR(device->check_precision(config.precision));
  ACD_RETURN_IF_ERROR(reader.open());
  std::shared_ptr<AcdClip> model(new AcdClip());
  model->config_ = config;
  // One of its own, which counts what the weights take.
  auto own = device->fork();
  if (!own.ok()) return own.status();
  model->device_ = std::move(own.value());
  model->tower_type_ = tower_type(*model->device_, config.precision);
  ACD_RETURN_IF_ERROR(model->load_vision(reader));
  ACD_RETURN_IF_ERROR(model->load_text(reader));
  reader.drop_scratch();
  // Other streams read the weights without asking.
  ACD_RETURN_IF_ERROR(model->device_->synchronize());
  model->weight_bytes_ = static_cast<size_t>(model->device_->live_bytes());
  return std::shared_ptr<const AcdClip>(std::move(model));
}

Status AcdClip::load_vision(WeightReader& reader) {
  const ModelConfig& c = config_;
  const int64_t d = c.vision_width, old = c.pretrain_grid;
  auto conv = reader.read("visual.conv1.weight", {d, 3, c.patch_size, c.patch_size});
  if (!conv.ok()) return conv.status();
  auto patch =
      Linear::make(device_, {conv.value().data(), nullptr, d, 3 * c.patch_size * c.patch_size});
  if (!patch.ok()) return patch.status();
  patch_embed_ = std::move(patch.value());
  ACD_RETURN_IF_ERROR(
      keep(load_floats(device_, reader, "visual.class_embedding", {d}), class_embedding_));
  auto stored = reader.read("visual.positional_embedding", {1 + old * old, d});
  if (!stored.ok()) return stored.status();
  FloatBuffer resized(static_cast<size_t>((1 + c.patches()) * d));
  resize_positions(stored.value().data(), old, resized.data(), c.grid(), d);
  ACD_RETURN_IF_ERROR(keep(Floats::make(device_, resized.size()), positions_));
  ACD_RETURN_IF_ERROR(device_->upload(positions_.data(), resized.data(), resized.bytes()));
  auto ln_pre = load_norm(device_, reader, "visual.ln_pre", d);
  if (!ln_pre.ok()) return ln_pre.status();
  ln_pre_ = std::move(ln_pre.value());
  for (int64_t i = 0; i < c.vision_layers; ++i) {
    auto block =
        load_block(device_, reader, "visual.transformer.resblocks." + std::to_string(i) + ".", d,
                   vision_block_types(c.precision, tower_type_, c.vision_width));
    if (!block.ok()) return block.status();
    vision_blocks_.push_back(std::move(block.value()));
  }
  for (int64_t i = 0; i < c.groups; ++i) {
    const bool bf16 = tower_type_ == NumberType::kBf16 && device_->rounds_to_bf16();
    auto group =
        load_image_adapter(device_, reader, c, i, bf16 ? NumberType::kBf16 : NumberType::kF32);
    if (!group.ok()) return group.status();
    image_groups_.push_back(std::move(group.value()));
  }
  return Status();
}

Status AcdClip::load_token_table(WeightReader& reader) {
  if (config_.token_embedding_seed) {
    token_type_ = TableType::kSeeded;
    return Status();
  }
  auto table =
      reader.read_table("token_embedding.weight", {config_.vocab_size, config_.text_width});
  if (!table.ok()) return table.status();
  auto placed = DeviceArray<uint8_t>::make(device_, table.value().bytes.bytes());
  if (!placed.ok()) return placed.status();
  token_table_ = std::move(placed.value());
  token_type_ = table.value().type;
  return device_->upload(token_table_.data(), table.value().bytes.data(),
                         table.value().bytes.bytes());
}

Status AcdClip::load_text(WeightReader& reader) {
  const ModelConfig& c = config_;
  const int64_t w = c.text_width, r = c.text_lora_rank;
  ACD_RETURN_IF_ERROR(load_token_table(reader));
  ACD_RETURN_IF_ERROR(
      keep(load_floats(device_, reader, "positional_embedding", {c.context_length, w}),
           text_positions_));
  for (int64_t i = 0; i < c.text_layers; ++i) {
    // Its features are computed once a class: int8 would save nothing.
    auto block = load_block(device_, reader, "transformer.resblocks." + std::to_string(i) + ".", w,
                            all_of(tower_type_));
    if (!block.ok()) return block.status();
    text_blocks_.push_back(std::move(block.value()));
  }
  for (int64_t i = 0; i < c.groups; ++i) {
    TextGroup g;
    const std::string n = std::to_string(i), lora = "text_adapter.lora_adapters." + n + ".";
    ACD_RETURN_IF_ERROR(
        keep(load_floats(device_, reader, "text_adapter.m_t_w." + n + ".i_w", {1, 1, w}), g.mix));
    auto a = reader.read(lora + "lora_A", {w, r});
    if (!a.ok()) return a.status();
    auto b = reader.read(lora + "lora_B", {r, w});
    if (!b.ok()) return b.status();
    FloatBuffer down(static_cast<size_t>(r * w));
    for (int64_t k = 0; k < r; ++k) {
      for (int64_t j = 0; j < w; ++j)
        down[static_cast<size_t>(k * w + j)] = a.value()[static_cast<size_t>(j * r + k)];
    }
    const auto scale = static_cast<float>(c.text_lora_alpha / std::sqrt(static_cast<double>(r)));
    for (size_t k = 0; k < b.value().size(); ++k) b.value()[k] *= scale;
    auto packed = Linear::make(device_, {down.data(), nullptr, r, w});
    if (!packed.ok()) return packed.status();
    g.down = std::move(packed.value());
    ACD_RETURN_IF_ERROR(keep(Floats::make(device_, b.value().size()), g.up));
    ACD_RETURN_IF_ERROR(device_->upload(g.up.data(), b.value().data(), b.value().bytes()));
    auto norm = load_norm(device_, reader, "text_adapter.layer_norms." + n, w);
    if (!norm.ok()) return norm.status();
    g.norm = std::move(norm.value());
    text_groups_.push_back(std::move(g));
  }
  return Status();
}

Result<AcdClip::Workspace> AcdClip::make_workspace(std::shared_ptr<Device> device, int64_t items,
                                                   int exchanges) const {
  const ModelConfig& c = config_;
  const int64_t n = c.patches(), g = c.groups, e = c.embed_dim;
  Workspace ws;
  auto tower = make_activations(device, items, n + 1, c.vision_width, tower_type_,
                                vision_block_types(c.precision, tower_type_, c.vision_width));
  if (!tower.ok()) return tower.status();
  ws.tower = std::move(tower.value());
  auto adapter = make_adapter_activations(device, c, items);
  if (!adapter.ok()) return adapter.status();
  ws.adapter = std::move(adapter.value());
  const auto make = [&](int64_t count, Floats& to) {
    return keep(Floats::make(device, static_cast<size_t>(count)), to);
  };
  const int64_t patch_floats = items * n * 3 * c.patch_size * c.patch_size;
  // The patch rows borrow the MLP's buffer where they fit, as they do in every CLIP.
  const bool fit = static_cast<size_t>(patch_floats) * sizeof(float) <= ws.tower.hidden.size();
  if (!fit && !device->has_preprocess()) ACD_RETURN_IF_ERROR(make(patch_floats, ws.patches));
  ACD_RETURN_IF_ERROR(make(items * g * n * 2 * g, ws.dots));
  ACD_RETURN_IF_ERROR(make(items * g * e, ws.seg_mean));
  for (int i = 0; i < exchanges; ++i) {
    std::shared_ptr<Device> io = device;
    if (device->has_streams()) {
      auto forked = device->fork();
      if (!forked.ok()) return forked.status();
      io = std::move(forked.value());
    }
    auto exchange = Exchange::make(std::move(io), c, items);
    if (!exchange.ok()) return exchange.status();
    ws.exchanges.push_back(std::move(exchange.value()));
  }
  if (device->has_graphs()) ws.graphs = std::make_unique<ComputeGraphs>(device);
  ws.items = items;
  ws.device = std::move(device);
  return ws;
}

size_t AcdClip::Workspace::bytes() const {
  int64_t bytes = device ? device->live_bytes() : 0;
  for (const Exchange& exchange : exchanges) {
    if (exchange.io() != device) bytes += exchange.io()->live_bytes();
  }
  return static_cast<size_t>(bytes);
}

Status AcdClip::compute(Workspace& ws, Exchange& exchange,
                        const std::vector<ImageRequest>& requests, bool vectors,
                        const Cancelled& cancelled) const {
  const auto items = static_cast<int64_t>(requests.size());
  ACD_ASSERT(items <= ws.items);
  if (vectors) ACD_RETURN_IF_ERROR(exchange.make_vectors());
  ACD_RETURN_IF_ERROR(exchange.put_texts(requests));
  ACD_RETURN_IF_ERROR(ws.device->wait_for(*exchange.io()));
  const ImageRequest& first = requests.front();
  const bool alike = std::all_of(requests.begin(), requests.end(),
                                 [&](const ImageRequest& r) { return blurred_alike(r, first); });
  // One that times its operations waits for each of them, which a graph cannot.
  const bool small = static_cast<double>(items) * config_.flop_per_image() <= kGraphFlop;
  if (ws.graphs && small && alike && !vectors && !StageClock::current()) {
    if (cancelled && cancelled()) return aborted();
    const ComputeGraphs::Key key = {exchange.outputs.data(), items,
                                    first.text ? first.blur_taps : 0, first.blur_sigma};
    ACD_RETURN_IF_ERROR(
        ws.graphs->run(key, [&] { return forward(ws, exchange, requests, false, nullptr); }));
  } else {
    ACD_RETURN_IF_ERROR(forward(ws, exchange, requests, vectors, cancelled));
  }
  return exchange.io()->wait_for(*ws.device);
}

Status AcdClip::forward(Workspace& ws, Exchange& exchange,
                        const std::vector<ImageRequest>& requests, bool vectors,
                        const Cancelled& cancelled) const {
  ACD_RETURN_IF_ERROR(
      run_vision(ws, exchange, static_cast<int64_t>(requests.size()), vectors, cancelled));
  return fuse_maps(ws, exchange, requests, vectors);
}

Status AcdClip::run_vision(Workspace& ws, Exchange& exchange, int64_t items, bool vectors,
                           const Cancelled& cancelled) const {
  const ModelConfig& c = config_;
  const int64_t d = c.vision_width, n = c.patches(), t = n + 1, g = c.groups, e = c.embed_dim;
  const int64_t patch_columns = 3 * c.patch_size * c.patch_size;
  float* rows = exchange.rows.data();
  if (!rows) {
    rows = ws.patches.size() > 0 ? ws.patches.data()
                                 : reinterpret_cast<float*>(ws.tower.hidden.data());
    ACD_RETURN_IF_ERROR(
        ws.device->patchify({exchange.images.data(), rows, items, c.image_size, c.patch_size}));
  }
  float* x = ws.tower.x.data();
  LinearParams embed{rows, patch_columns, patch_embed_.packed(), x + d, d, n};
  embed.batch = items;
  embed.batch_x = n * patch_columns;
  embed.batch_y = t * d;
  ACD_RETURN_IF_ERROR(ws.device->linear(embed));
  ACD_RETURN_IF_ERROR(
      ws.device->assemble_tokens({x, class_embedding_.data(), positions_.data(), items, t, d}));
  ACD_RETURN_IF_ERROR(ws.device->layer_norm(
      {x, d, ln_pre_.weight.data(), ln_pre_.bias.data(), x, d, items * t, d}));

  const Activation act = c.quick_gelu ? Activation::kQuickGelu : Activation::kGelu;
  // Layers after the last group feed nothing.
  for (int64_t layer = 0; layer < c.vision_levels.back(); ++layer) {
    if (cancelled && cancelled()) return aborted();
    ACD_RETURN_IF_ERROR(run_block(*ws.device, vision_blocks_[static_cast<size_t>(layer)], ws.tower,
                                  items, t, d, false, act));
    const int64_t group = group_after(c.vision_levels, layer + 1);
    if (group < 0) continue;
    const ImageAdapterGroup& adapter = image_groups_[static_cast<size_t>(group)];
    ACD_RETURN_IF_ERROR(run_conv_lora(*ws.device, c, adapter, ws.adapter, x, items));
    const HeadOutputs out = {ws.seg_mean.data() + group * e, exchange.outputs.data() + group * e,
                             ws.dots.data() + group * n * 2 * g,
                             vectors ? exchange.vectors.data() + group * n * e : nullptr};
    ACD_RETURN_IF_ERROR(
        run_heads(*ws.device, c, adapter, ws.adapter, x, items, exchange.text.data(), out));
  }
  return Status();
}

// Neighbours that are blurred alike are one call; images without a text have no map.
Status AcdClip::fuse_maps(Workspace& ws, Exchange& exchange,
                          const std::vector<ImageRequest>& requests, bool vectors) const {
  const ModelConfig& c = config_;
  const int64_t g = c.groups, n = c.patches(), s = c.image_size;
  const auto items = static_cast<int64_t>(requests.size());
  const auto has_text = [](const ImageRequest& r) { return r.text != nullptr; };
  if (std::none_of(requests.begin(), requests.end(), has_text)) return Status();
  const OutputLayout at(c, items);
  float* out = exchange.outputs.data();
  std::vector<GateWeights> weights;
  for (const ImageAdapterGroup& w : image_groups_)
    weights.push_back({w.gate_w1.data(), w.gate_b1.data(), w.gate_w2.data(), w.gate_b2.data()});
  ACD_RETURN_IF_ERROR(ws.device->gate({ws.seg_mean.data(), weights.data(), out + at.gates,
                                       c.embed_dim, c.adapter_hidden, g, g, items}));
  FuseMapParams all{ws.dots.data(),
                    out + at.gates,
                    g,
                    c.grid(),
                    s,
                    1,
                    1,
                    out + at.map,
                    out + at.max,
                    vectors ? exchange.logits.data() : nullptr};
  all.batch_dots = g * n * 2 * g;
  all.batch_gates = g * g * 2;
  all.batch_map = s * s;
  all.batch_max = 1;
  all.batch_logits = g * 2 * n;
  for (int64_t first = 0, end; first < items; first = end) {
    const ImageRequest& request = requests[static_cast<size_t>(first)];
    end = first + 1;
    while (end < items && blurred_alike(requests[static_cast<size_t>(end)], request)) ++end;
    if (!request.text) continue;
    FuseMapParams run = fuse_map_item(all, first);
    run.batch = end - first;
    run.taps = request.blur_taps;
    run.sigma = request.blur_sigma;
    ACD_RETURN_IF_ERROR(ws.device->fuse_map(run));
  }
  return Status();
}

Status AcdClip::encode_text(const std::shared_ptr<Device>& device,
                            const std::vector<int32_t>& tokens, int64_t prompts, int64_t length,
                            const Cancelled& cancelled, std::vector<float>& out) const {
  const ModelConfig& c = config_;
  const int64_t w = c.text_width, r = c.text_lora_rank, rows = prompts * length;
  if (prompts < 1 || length < 1 || length > c.context_length ||
      static_cast<int64_t>(tokens.size()) != rows) {
    return Status(Code::kInvalidArg,
                  "Expected tokens of at most " + std::to_string(c.context_length) + " columns");
  }
  for (int32_t id : tokens) {
    if (id < 0 || id >= c.vocab_size) {
      return Status(Code::kCheckpointMismatch,
                    "Expected token ids below the model's vocabulary of " +
                        std::to_string(c.vocab_size) + " but received " + std::to_string(id));
    }
  }
  auto tower = make_activations(device, prompts, length, w, tower_type_, all_of(tower_type_));
  if (!tower.ok()) return tower.status();
  const TowerActivations& a = tower.value();
  Floats y, features;
  ACD_RETURN_IF_ERROR(keep(Floats::make(device, static_cast<size_t>(rows * r)), y));
  ACD_RETURN_IF_ERROR(
      keep(Floats::make(device, static_cast<size_t>(c.groups * prompts * w)), features));
  auto ids = DeviceArray<int32_t>::make(device, tokens.size());
  if (!ids.ok()) return ids.status();
  ACD_RETURN_IF_ERROR(
      device->upload(ids.value().data(), tokens.data(), tokens.size() * sizeof(int32_t)));
  float* x = a.x.data();
  ACD_RETURN_IF_ERROR(device->gather_tokens({ids.value().data(), token_table_.data(), token_type_,
                                             text_positions_.data(), x, prompts, length, w,
                                             c.token_embedding_seed.value_or(0)}));
  const Activation act = c.quick_gelu ? Activation::kQuickGelu : Activation::kGelu;
  for (int64_t layer = 0; layer < c.text_levels.back(); ++layer) {
    if (cancelled && cancelled()) return aborted();
    ACD_RETURN_IF_ERROR(run_block(*device, text_blocks_[static_cast<size_t>(layer)], a, prompts,
                                  length, w, true, act));
    const int64_t group = group_after(c.text_levels, layer + 1);
    if (group < 0) continue;
    const TextGroup& g = text_groups_[static_cast<size_t>(group)];
    ACD_RETURN_IF_ERROR(device->linear({x, w, g.down.packed(), y.data(), r, rows}));
    ACD_RETURN_IF_ERROR(
        device->lora_blend({x, w, y.data(), r, g.up.data(), g.mix.data(), rows, w, r}));
    // Of every sentence its end alone.
    for (int64_t p = 0; p < prompts; ++p) {
      const auto* sentence = tokens.data() + p * length;
      const int64_t end =
          std::max_element(sentence, sentence + length) - sentence;  // largest id: end of text
      ACD_RETURN_IF_ERROR(device->layer_norm(
          {x + (p * length + end) * w, w, g.norm.weight.data(), g.norm.bias.data(),
           features.data() + (group * prompts + p) * w, w, 1, w}));
    }
  }
  out.resize(features.size());
  return device->download(out.data(), features.data(), features.bytes());
}

std::vector<float> class_features(const std::vector<float>& features, int64_t groups,
                                  int64_t prompts, int64_t width, int64_t normal) {
  std::vector<float> out(static_cast<size_t>(groups * width * 2));
  std::vector<double> sum(static_cast<size_t>(width));
  const auto unit = [&](double square) { return square > 0 ? 1.0 / std::sqrt(square) : 0.0; };
  for (int64_t g = 0; g < groups; ++g) {
    for (int64_t column = 0; column < 2; ++column) {
      std::fill(sum.begin(), sum.end(), 0.0);
      for (int64_t p = column ? normal : 0; p < (column ? prompts : normal); ++p) {
        const float* f = features.data() + (g * prompts + p) * width;
        double square = 0;
        for (int64_t i = 0; i < width; ++i) square += double{f[i]} * f[i];
        for (int64_t i = 0; i < width; ++i) sum[static_cast<size_t>(i)] += f[i] * unit(square);
      }
      double square = 0;
      for (double v : sum) square += v * v;
      for (int64_t i = 0; i < width; ++i) {
        out[static_cast<size_t>((g * width + i) * 2 + column)] =
            static_cast<float>(sum[static_cast<size_t>(i)] * unit(square));
      }
    }
  }
  return out;
}

}  // namespace acd
