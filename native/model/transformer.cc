#include "model/transformer.h"

#include "model/fp16_range.h"

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

NumberType tower_type(const Device& device, Precision precision) {
  if (precision == Precision::kFp32) return NumberType::kF32;
  if (precision == Precision::kBf16) return NumberType::kBf16;
  if (precision == Precision::kFp16) return NumberType::kF16;
  return device.check_precision(Precision::kBf16).ok() ? NumberType::kBf16 : NumberType::kF32;
}

namespace {

Status upload_floats(const std::shared_ptr<Device>& device, const FloatBuffer& host, Floats& to) {
  auto made = Floats::make(device, host.size());
  if (!made.ok()) return made.status();
  to = std::move(made.value());
  return device->upload(to.data(), host.data(), host.bytes());
}

// Tensors that hold a norm and the product behind it.
struct NormAndLinear {
  std::string norm, weight, bias;
  int64_t n, k;
  NumberType type;
};

Status load_norm_and_linear(const std::shared_ptr<Device>& device, WeightReader& reader,
                            const NormAndLinear& from, NormWeights& norm, Linear& linear) {
  auto gain = reader.read(from.norm + ".weight", {from.k});
  if (!gain.ok()) return gain.status();
  auto shift = reader.read(from.norm + ".bias", {from.k});
  if (!shift.ok()) return shift.status();
  auto bias = reader.read(from.bias, {from.n});
  if (!bias.ok()) return bias.status();
  auto weight = reader.read_scratch(from.weight, {from.n, from.k});
  if (!weight.ok()) return weight.status();
  if (from.type == NumberType::kInt8) {
    equalise_channels(gain.value().data(), shift.value().data(), weight.value(), from.n, from.k);
  }
  if (from.type == NumberType::kF16) {
    ACD_RETURN_IF_ERROR(check_fp16_range(from.weight, gain.value().data(), shift.value().data(),
                                         weight.value(), bias.value().data(), from.n, from.k));
  }
  ACD_RETURN_IF_ERROR(upload_floats(device, gain.value(), norm.weight));
  ACD_RETURN_IF_ERROR(upload_floats(device, shift.value(), norm.bias));
  auto packed =
      Linear::make(device, {weight.value(), bias.value().data(), from.n, from.k, from.type});
  if (packed.ok()) linear = std::move(packed.value());
  return packed.status();
}

}  // namespace

Result<Linear> load_linear(const std::shared_ptr<Device>& device, WeightReader& reader,
                           const std::string& weight, const std::string& bias, int64_t n, int64_t k,
                           NumberType type) {
  auto b = reader.read(bias, {n});
  if (!b.ok()) return b.status();
  auto w = reader.read_scratch(weight, {n, k});
  if (!w.ok()) return w.status();
  if (type == NumberType::kF16) ACD_RETURN_IF_ERROR(check_fp16_weights(weight, w.value(), n, k));
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
                         const std::string& prefix, int64_t width, const BlockTypes& types) {
  Block b;
  const auto linear = [&](const std::string& name, int64_t n, int64_t k, NumberType type,
                          Linear& to) {
    auto loaded =
        load_linear(device, reader, prefix + name + ".weight", prefix + name + ".bias", n, k, type);
    if (loaded.ok()) to = std::move(loaded.value());
    return loaded.status();
  };
  ACD_RETURN_IF_ERROR(
      load_norm_and_linear(device, reader,
                           {prefix + "ln_1", prefix + "attn.in_proj_weight",
                            prefix + "attn.in_proj_bias", 3 * width, width, types.qkv},
                           b.ln_1, b.qkv));
  ACD_RETURN_IF_ERROR(linear("attn.out_proj", width, width, types.out_proj, b.out_proj));
  ACD_RETURN_IF_ERROR(load_norm_and_linear(device, reader,
                                           {prefix + "ln_2", prefix + "mlp.c_fc.weight",
                                            prefix + "mlp.c_fc.bias", 4 * width, width, types.c_fc},
                                           b.ln_2, b.c_fc));
  ACD_RETURN_IF_ERROR(linear("mlp.c_proj", width, 4 * width, types.c_proj, b.c_proj));
  return b;
}

namespace {

bool is_codes(NumberType type) { return type == NumberType::kInt8 || type == NumberType::kE4m3; }

// Elements from one row of activations to the next, in front of a product. f32 rows of CLIP's
// widths would lie a large power of two apart, which puts the rows that a product reads together on
// the same few lines of a cache.
int64_t stride_of(NumberType type, int64_t width) {
  constexpr int64_t kClash = 512, kGap = 16;
  return type == NumberType::kF32 && width % kClash == 0 ? width + kGap : width;
}

bool has(const BlockTypes& t, NumberType type) {
  return t.qkv == type || t.out_proj == type || t.c_fc == type || t.c_proj == type;
}

}  // namespace

Result<TowerActivations> make_activations(const std::shared_ptr<Device>& device, int64_t items,
                                          int64_t tokens, int64_t width, NumberType type,
                                          const BlockTypes& products) {
  const auto rows = static_cast<size_t>(items * tokens);
  const size_t n = rows * static_cast<size_t>(width);
  TowerActivations a;
  a.type = type;
  a.norm_stride = stride_of(type, width);
  a.hidden_stride = stride_of(type, 4 * width);
  auto x = Floats::make(device, n);
  if (!x.ok()) return x.status();
  auto norm = Bytes::make(device, rows * static_cast<size_t>(a.norm_stride) * bytes_of(type));
  if (!norm.ok()) return norm.status();
  auto hidden = Bytes::make(device, rows * static_cast<size_t>(a.hidden_stride) * bytes_of(type));
  if (!hidden.ok()) return hidden.status();
  a.x = std::move(x.value());
  a.norm = std::move(norm.value());
  a.hidden = std::move(hidden.value());
  const bool int8 = has(products, NumberType::kInt8), fp8 = has(products, NumberType::kE4m3);
  if (int8 || fp8) {
    auto codes = Bytes::make(device, 4 * n);
    if (!codes.ok()) return codes.status();
    a.codes = std::move(codes.value());
  }
  if (int8) {
    auto scales = DeviceArray<RowScale>::make(device, rows);
    if (!scales.ok()) return scales.status();
    a.code_rows = std::move(scales.value());
  }
  if (fp8) {
    auto scales = Floats::make(device, rows);
    if (!scales.ok()) return scales.status();
    a.code_scales = std::move(scales.value());
  }
  return a;
}

Status run_block(const Device& device, const Block& block, const TowerActivations& a, int64_t items,
                 int64_t tokens, int64_t width, bool causal, Activation act) {
  const int64_t rows = items * tokens;
  // x is of type a.type; a linear in 8 bits takes what `norm` or `quantize` made of it instead.
  struct Rows {
    void* data;
    int64_t width, stride;
  };
  const auto linear = [&](const Linear& weights, const Rows& x, const Rows& y) {
    const bool codes = is_codes(weights.type());
    const int64_t ldx = codes ? x.width : x.stride;
    LinearParams p{
        codes ? a.codes.data() : x.data, ldx, weights.packed(), y.data, y.stride, tokens};
    p.x_rows = a.code_rows.data();
    if (weights.type() == NumberType::kE4m3) p.x_scales = a.code_scales.data();
    p.batch = items;
    p.batch_x = tokens * ldx;
    p.batch_y = tokens * y.stride;
    p.k = x.width;
    p.n = y.width;
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
  const auto norm = [&](const NormWeights& w, const Linear& next) {
    LayerNormParams p{a.x.data(),    width,         w.weight.data(),
                      w.bias.data(), a.norm.data(), a.norm_stride,
                      rows,          width};
    p.y_type = a.type;
    if (is_codes(next.type())) {
      p.y = a.codes.data();
      p.ldy = width;
      p.y_type = next.type();
      p.y_rows = a.code_rows.data();
      p.y_scales = a.code_scales.data();
    }
    return device.layer_norm(p);
  };
  const auto quantize = [&](const Rows& x, const Linear& next, Activation activation) {
    if (!is_codes(next.type())) return Status();
    QuantizeParams p{x.data,  x.stride,           a.type, a.codes.data(),
                     x.width, a.code_rows.data(), rows,   x.width};
    p.y_type = next.type();
    p.y_scales = a.code_scales.data();
    p.act = activation;
    return device.quantize(p);
  };
  // In front of fp8 the activation is quantize's: one pass fewer over the widest rows.
  const bool later = block.c_proj.type() == NumberType::kE4m3;
  const Rows x = {a.x.data(), width, width}, normed = {a.norm.data(), width, a.norm_stride};
  const Rows hidden = {a.hidden.data(), 4 * width, a.hidden_stride};
  const Rows qkv = {a.hidden.data(), 3 * width, 3 * width};
  const Rows attended = {a.hidden.data() + static_cast<size_t>(3 * rows * width) * bytes_of(a.type),
                         width, width};
  ACD_RETURN_IF_ERROR(norm(block.ln_1, block.qkv));
  ACD_RETURN_IF_ERROR(inner(linear(block.qkv, normed, qkv), Activation::kNone));
  AttentionParams attention{qkv.data,           attended.data, items, tokens,
                            width / kHeadWidth, causal,        a.type};
  attention.int8_scores =
      block.qkv.type() == NumberType::kInt8 && a.type == NumberType::kBf16 && !causal;
  ACD_RETURN_IF_ERROR(device.attention(attention));
  ACD_RETURN_IF_ERROR(quantize(attended, block.out_proj, Activation::kNone));
  ACD_RETURN_IF_ERROR(residual(linear(block.out_proj, attended, x)));
  ACD_RETURN_IF_ERROR(norm(block.ln_2, block.c_fc));
  ACD_RETURN_IF_ERROR(inner(linear(block.c_fc, normed, hidden), later ? Activation::kNone : act));
  ACD_RETURN_IF_ERROR(quantize(hidden, block.c_proj, later ? act : Activation::kNone));
  return residual(linear(block.c_proj, hidden, x));
}

}  // namespace acd
