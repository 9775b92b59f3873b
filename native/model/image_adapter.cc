#include "model/image_adapter.h"

#include <cmath>

namespace acd {
namespace {

// M_j = F_j B_j once, so that an adapter costs r columns a kernel size instead of a product over
// len(K) * D: up[j * r + k][o] = scale * sum_d B_j[k][d] F[o][j * D + d].
Result<Floats> fold_up_projection(const std::shared_ptr<Device>& device, WeightReader& reader,
                                  const ModelConfig& c, const std::string& prefix) {
  const int64_t d = c.vision_width, r = c.lora_rank;
  const auto kernels = static_cast<int64_t>(c.kernel_sizes.size());
  auto fusion = reader.read(prefix + "fusion_conv.weight", {d, kernels * d, 1, 1});
  if (!fusion.ok()) return fusion.status();
  const double scale = c.lora_alpha / std::sqrt(static_cast<double>(r));
  FloatBuffer up(static_cast<size_t>(kernels * r * d));
  std::vector<double> b(static_cast<size_t>(r * d));
  for (int64_t j = 0; j < kernels; ++j) {
    auto lora_b = reader.read(prefix + "conv_lora_blocks." + std::to_string(j) + ".lora_B", {r, d});
    if (!lora_b.ok()) return lora_b.status();
    std::copy(lora_b.value().data(), lora_b.value().data() + r * d, b.begin());
    for (int64_t o = 0; o < d; ++o) {
      const float* f = fusion.value().data() + (o * kernels + j) * d;
      for (int64_t k = 0; k < r; ++k) {
        double s = 0;
        for (int64_t i = 0; i < d; ++i) s += b[static_cast<size_t>(k * d + i)] * f[i];
        up[static_cast<size_t>((j * r + k) * d + o)] = static_cast<float>(s * scale);
      }
    }
  }
  auto out = Floats::make(device, up.size());
  if (!out.ok()) return out.status();
  ACD_RETURN_IF_ERROR(device->upload(out.value().data(), up.data(), up.bytes()));
  return out;
}

// All A_j [D, r] transposed and stacked: one product for every kernel size.
Result<Linear> load_down(const std::shared_ptr<Device>& device, WeightReader& reader,
                         const ModelConfig& c, const std::string& prefix) {
  const int64_t d = c.vision_width, r = c.lora_rank;
  const auto kernels = static_cast<int64_t>(c.kernel_sizes.size());
  FloatBuffer stacked(static_cast<size_t>(kernels * r * d));
  for (int64_t j = 0; j < kernels; ++j) {
    auto a = reader.read(prefix + "conv_lora_blocks." + std::to_string(j) + ".lora_A", {d, r});
    if (!a.ok()) return a.status();
    for (int64_t i = 0; i < d; ++i) {
      for (int64_t k = 0; k < r; ++k)
        stacked[static_cast<size_t>((j * r + k) * d + i)] =
            a.value()[static_cast<size_t>(i * r + k)];
    }
  }
  return Linear::make(device, {stacked.data(), nullptr, kernels * r, d});
}

Status load_convs(const std::shared_ptr<Device>& device, WeightReader& reader, const ModelConfig& c,
                  const std::string& prefix, ImageAdapterGroup& g) {
  for (size_t j = 0; j < c.kernel_sizes.size(); ++j) {
    const int64_t k = c.kernel_sizes[j];
    const std::string block = prefix + "conv_lora_blocks." + std::to_string(j) + ".";
    auto a = load_floats(device, reader, block + "conv_lora_A.weight",
                         {c.conv_lora_rank, c.lora_rank / c.conv_groups, k, k});
    if (!a.ok()) return a.status();
    auto b = reader.read(block + "conv_lora_B.weight",
                         {c.lora_rank, c.conv_lora_rank / c.conv_groups, k, k});
    if (!b.ok()) return b.status();
    const auto scale =
        static_cast<float>(c.conv_lora_alpha / static_cast<double>(c.conv_lora_rank));
    for (size_t i = 0; i < b.value().size(); ++i) b.value()[i] *= scale;
    auto scaled = Floats::make(device, b.value().size());
    if (!scaled.ok()) return scaled.status();
    ACD_RETURN_IF_ERROR(device->upload(scaled.value().data(), b.value().data(), b.value().bytes()));
    g.conv_a.push_back(std::move(a.value()));
    g.conv_b.push_back(std::move(scaled.value()));
  }
  return Status();
}

Status load_heads(const std::shared_ptr<Device>& device, WeightReader& reader, const ModelConfig& c,
                  int64_t group, NumberType type, ImageAdapterGroup& g) {
  const int64_t d = c.vision_width, h = c.adapter_hidden, e = c.embed_dim;
  const std::string i = std::to_string(group);
  FloatBuffer weight(static_cast<size_t>(2 * h * d)), bias(static_cast<size_t>(2 * h));
  int64_t row = 0;
  for (const char* head : {"seg", "det"}) {
    const std::string fc = std::string("image_adapter.") + head + "_proj." + i + ".fc.";
    ACD_RETURN_IF_ERROR(reader.read(fc + "0.weight", {h, d}, weight.data() + row * d));
    ACD_RETURN_IF_ERROR(reader.read(fc + "0.bias", {h}, bias.data() + row));
    row += h;
    auto out = load_linear(device, reader, fc + "2.weight", fc + "2.bias", e, h, type);
    if (!out.ok()) return out.status();
    auto norm =
        load_norm(device, reader, std::string("image_adapter.") + head + "_layer_norms." + i, e);
    if (!norm.ok()) return norm.status();
    const bool seg = row == h;
    (seg ? g.seg_out : g.det_out) = std::move(out.value());
    (seg ? g.seg_norm : g.det_norm) = std::move(norm.value());
  }
  auto heads_in = Linear::make(device, {weight.data(), bias.data(), 2 * h, d, type});
  if (!heads_in.ok()) return heads_in.status();
  g.heads_in = std::move(heads_in.value());
  return Status();
}

Status load_gate(const std::shared_ptr<Device>& device, WeightReader& reader, const ModelConfig& c,
                 int64_t group, ImageAdapterGroup& g) {
  const std::string gate = "image_adapter.vision_text_gate." + std::to_string(group) + ".";
  const auto load = [&](const char* name, const std::vector<int64_t>& shape, Floats& to) {
    auto loaded = load_floats(device, reader, gate + name, shape);
    if (loaded.ok()) to = std::move(loaded.value());
    return loaded.status();
  };
  ACD_RETURN_IF_ERROR(load("0.weight", {c.adapter_hidden, c.embed_dim}, g.gate_w1));
  ACD_RETURN_IF_ERROR(load("0.bias", {c.adapter_hidden}, g.gate_b1));
  ACD_RETURN_IF_ERROR(load("2.weight", {2 * c.groups, c.adapter_hidden}, g.gate_w2));
  return load("2.bias", {2 * c.groups}, g.gate_b2);
}

}  // namespace

Result<ImageAdapterGroup> load_image_adapter(const std::shared_ptr<Device>& device,
                                             WeightReader& reader, const ModelConfig& c,
                                             int64_t group, NumberType heads) {
  const std::string prefix = "image_adapter.lora_adapters." + std::to_string(group) + ".";
  ImageAdapterGroup g;
  auto mix = load_floats(device, reader, "image_adapter.m_i_w." + std::to_string(group) + ".i_w",
                         {1, 1, c.vision_width});
  if (!mix.ok()) return mix.status();
  auto down = load_down(device, reader, c, prefix);
  if (!down.ok()) return down.status();
  auto up = fold_up_projection(device, reader, c, prefix);
  if (!up.ok()) return up.status();
  g.mix = std::move(mix.value());
  g.down = std::move(down.value());
  g.up = std::move(up.value());
  ACD_RETURN_IF_ERROR(load_convs(device, reader, c, prefix, g));
  ACD_RETURN_IF_ERROR(load_heads(device, reader, c, group, heads, g));
  ACD_RETURN_IF_ERROR(load_gate(device, reader, c, group, g));
  return g;
}

Result<AdapterActivations> make_adapter_activations(const std::shared_ptr<Device>& device,
                                                    const ModelConfig& c, int64_t items) {
  AdapterActivations a;
  const int64_t rows = items * c.patches();
  const auto ranks = c.lora_rank * static_cast<int64_t>(c.kernel_sizes.size());
  const auto make = [&](int64_t columns, Floats& to) {
    auto made = Floats::make(device, static_cast<size_t>(rows * columns));
    if (made.ok()) to = std::move(made.value());
    return made.status();
  };
  ACD_RETURN_IF_ERROR(make(ranks, a.z));
  ACD_RETURN_IF_ERROR(make(c.conv_lora_rank, a.mid));
  ACD_RETURN_IF_ERROR(make(ranks, a.y));
  ACD_RETURN_IF_ERROR(make(2 * c.adapter_hidden, a.h));
  return a;
}

Status run_conv_lora(const Device& device, const ModelConfig& c, const ImageAdapterGroup& w,
                     const AdapterActivations& a, float* x, int64_t items) {
  const int64_t d = c.vision_width, n = c.patches(), r = c.lora_rank;
  const int64_t ranks = r * static_cast<int64_t>(c.kernel_sizes.size());
  float* patches = x + d;
  const int64_t item_stride = (n + 1) * d;
  LinearParams down{patches, d, w.down.packed(), a.z.data(), ranks, n};
  down.batch = items;
  down.batch_x = item_stride;
  down.batch_y = n * ranks;
  ACD_RETURN_IF_ERROR(device.linear(down));
  for (size_t j = 0; j < c.kernel_sizes.size(); ++j) {
    const int64_t column = static_cast<int64_t>(j) * r, k = c.kernel_sizes[j];
    ACD_RETURN_IF_ERROR(device.conv_tokens(
        {a.z.data() + column, ranks, n * ranks, w.conv_a[j].data(), a.mid.data(), c.conv_lora_rank,
         n * c.conv_lora_rank, items, c.grid(), r, c.conv_lora_rank, k, c.conv_groups}));
    ACD_RETURN_IF_ERROR(
        device.conv_tokens({a.mid.data(), c.conv_lora_rank, n * c.conv_lora_rank,
                            w.conv_b[j].data(), a.y.data() + column, ranks, n * ranks, items,
                            c.grid(), c.conv_lora_rank, r, k, c.conv_groups}));
  }
  LoraBlendParams blend{patches, d, a.y.data(), ranks, w.up.data(), w.mix.data(), n, d, ranks};
  blend.batch = items;
  blend.batch_x = item_stride;
  blend.batch_y = n * ranks;
  return device.lora_blend(blend);
}

Status run_heads(const Device& device, const ModelConfig& c, const ImageAdapterGroup& w,
                 const AdapterActivations& a, const float* x, int64_t items, const float* text,
                 const HeadOutputs& out) {
  const int64_t d = c.vision_width, n = c.patches(), h = c.adapter_hidden, e = c.embed_dim;
  LinearParams in{x + d, d, w.heads_in.packed(), a.h.data(), 2 * h, n, Activation::kLeakyRelu};
  in.batch = items;
  in.batch_x = (n + 1) * d;
  in.batch_y = n * 2 * h;
  in.round_x = w.heads_in.type() == NumberType::kBf16;
  ACD_RETURN_IF_ERROR(device.linear(in));
  const auto batched = [&](HeadParams p) {
    p.batch = items;
    p.batch_h = n * 2 * h;
    p.batch_text = 2 * c.groups * e;
    p.batch_mean = c.groups * e;
    p.batch_dots = c.groups * n * 2 * c.groups;
    p.batch_vectors = c.groups * n * e;
    return device.head(p);
  };
  ACD_RETURN_IF_ERROR(batched({a.h.data(), 2 * h, w.seg_out.packed(), w.seg_norm.weight.data(),
                               w.seg_norm.bias.data(), text, 2 * c.groups, out.seg_mean, out.dots,
                               out.seg_vectors, n, e}));
  return batched({a.h.data() + h, 2 * h, w.det_out.packed(), w.det_norm.weight.data(),
                  w.det_norm.bias.data(), nullptr, 0, out.det_mean, nullptr, nullptr, n, e});
}

}  // namespace acd
