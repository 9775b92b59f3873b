#include "model/transformer.h"

namespace acd {

Result<Floats> load_floats(const std::shared_ptr<Device>& device, WeightReader& reader,
                           const std::string& name, const std::vector<int64_t>& shape) {
  auto host = reader.read(name, shape);
  if (!host.ok()) return host.status();
  auto out = Floats::make(device, host.value().size());
  if (!out.ok()) return out.status();
  ACD_RETURN_IF_ERROR(
      device->upload(out.value().data(), host.value().data(), host.value().bytes()));
  return out;
}

NumberType tower_type(Precision precision) {
  return precision == Precision::kFp32 ? NumberType::kF32 : NumberType::kBf16;
}

Result<Linear> load_linear(const std::shared_ptr<Device>& device, WeightReader& reader,
                           const std::string& weight, const std::string& bias, int64_t n, int64_t k,
                           NumberType type) {
  auto b = reader.read(bias, {n});
  if (!b.ok()) return b.status();
  auto w = reader.read_scratch(weight, {n, k});
  if (!w.ok()) return w.status();
  return Linear::make(device, {w.value(), b.value().data(), n, k, type});
}

Result<NormWeights> load_norm(const std::shared_ptr<Device>& device, WeightReader& reader,
                              const std::string& prefix, int64_t width) {
  auto weight = load_floats(device, reader, prefix + ".weight", {width});
  if (!weight.ok()) return weight.status();
  auto bias = load_floats(device, reader, prefix + ".bias", {width});
  if (!bias.ok()) return bias.status();
  return NormWeights{std::move(weight.value()), std::move(bias.value())};
}

Result<Block> load_block(const std::shared_ptr<Device>& device, WeightReader& reader,
                         const std::string& prefix, int64_t width, Precision precision) {
  Block b;
  const NumberType type = tower_type(precision);
  const auto norm = [&](const char* name, NormWeights& to) {
    auto loaded = load_norm(device, reader, prefix + name, width);
    if (loaded.ok()) to = std::move(loaded.value());
    return loaded.status();
  };
  const auto linear = [&](const char* weight, const char* bias, int64_t n, int64_t k, Linear& to) {
    auto loaded = load_linear(device, reader, prefix + weight, prefix + bias, n, k, type);
    if (loaded.ok()) to = std::move(loaded.value());
    return loaded.status();
  };
  ACD_RETURN_IF_ERROR(norm("ln_1", b.ln_1));
  ACD_RETURN_IF_ERROR(linear("attn.in_proj_weight", "attn.in_proj_bias", 3 * width, width, b.qkv));
  ACD_RETURN_IF_ERROR(
      linear("attn.out_proj.weight", "attn.out_proj.bias", width, width, b.out_proj));
  ACD_RETURN_IF_ERROR(norm("ln_2", b.ln_2));
  ACD_RETURN_IF_ERROR(linear("mlp.c_fc.weight", "mlp.c_fc.bias", 4 * width, width, b.c_fc));
  ACD_RETURN_IF_ERROR(linear("mlp.c_proj.weight", "mlp.c_proj.bias", width, 4 * width, b.c_proj));
  return b;
}

Result<TowerActivations> make_activations(const std::shared_ptr<Device>& device, int64_t items,
                                          int64_t tokens, int64_t width, Precision precision) {
  const auto n = static_cast<size_t>(items * tokens * width);
  TowerActivations a;
  a.type = tower_type(precision);
  auto x = Floats::make(device, n);
  if (!x.ok()) return x.status();
  auto norm = Bytes::make(device, n * bytes_of(a.type));
  if (!norm.ok()) return norm.status();
  auto hidden = Bytes::make(device, 4 * n * bytes_of(a.type));
  if (!hidden.ok()) return hidden.status();
  a.x = std::move(x.value());
  a.norm = std::move(norm.value());
  a.hidden = std::move(hidden.value());
  return a;
}

Status run_block(const Device& device, const Block& block, const TowerActivations& a, int64_t items,
                 int64_t tokens, int64_t width, bool causal, Activation act) {
  const int64_t rows = items * tokens;
  const auto linear = [&](const Linear& weights, const void* x, int64_t k, void* y, int64_t n) {
    LinearParams p{x, k, weights.packed(), y, n, tokens};
    p.batch = items;
    p.batch_x = tokens * k;
    p.batch_y = tokens * n;
    return p;
  };
  const auto inner = [&](LinearParams p, Activation activation) {
    p.act = activation;
    p.y_type = a.type;
    return device.linear(p);
  };
  const auto residual = [&](LinearParams p) {
    p.accumulate = true;
    return device.linear(p);
  };
  const auto norm = [&](const NormWeights& w) {
    LayerNormParams p{a.x.data(), width, w.weight.data(), w.bias.data(), a.norm.data(), width,
                      rows,       width};
    p.y_type = a.type;
    return device.layer_norm(p);
  };
  uint8_t* qkv = a.hidden.data();
  uint8_t* attended = qkv + static_cast<size_t>(3 * rows * width) * bytes_of(a.type);
  ACD_RETURN_IF_ERROR(norm(block.ln_1));
  ACD_RETURN_IF_ERROR(
      inner(linear(block.qkv, a.norm.data(), width, qkv, 3 * width), Activation::kNone));
  ACD_RETURN_IF_ERROR(
      device.attention({qkv, attended, items, tokens, width / kHeadWidth, causal, a.type}));
  ACD_RETURN_IF_ERROR(residual(linear(block.out_proj, attended, width, a.x.data(), width)));
  ACD_RETURN_IF_ERROR(norm(block.ln_2));
  ACD_RETURN_IF_ERROR(
      inner(linear(block.c_fc, a.norm.data(), width, a.hidden.data(), 4 * width), act));
  return residual(linear(block.c_proj, a.hidden.data(), 4 * width, a.x.data(), width));
}

}  // namespace acd
