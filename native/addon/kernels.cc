#include "addon/kernels.h"

#include <memory>

#include "addon/args.h"
#include "addon/model.h"
#include "backend/cpu/cpu_backend.h"
#include "core/checked.h"
#include "ops/preprocess/preprocess.h"
#include "ops/regions/regions.h"
#include "ops/resize/resize.h"
#include "ops/resize_positions/resize_positions.h"

namespace acd {
namespace {

constexpr int64_t kMaxElements = int64_t{1} << 31;

// Positional arguments of one call.
class Call {
 public:
  explicit Call(const Napi::CallbackInfo& info) : info_(info), env_(info.Env()) {}

  Napi::Env env() const { return env_; }

  int64_t integer(size_t i, const char* name, int64_t low = 1, int64_t high = 1 << 20) const {
    const double d = info_[i].IsNumber() ? info_[i].As<Napi::Number>().DoubleValue() : -1e300;
    if (!(d >= static_cast<double>(low) && d <= static_cast<double>(high)) ||
        d != static_cast<double>(static_cast<int64_t>(d))) {
      bad("integer between " + std::to_string(low) + " and " + std::to_string(high), name);
    }
    return static_cast<int64_t>(d);
  }
  double number(size_t i, const char* name) const {
    if (!info_[i].IsNumber()) bad("number", name);
    return info_[i].As<Napi::Number>().DoubleValue();
  }
  bool boolean(size_t i, const char* name) const {
    if (!info_[i].IsBoolean()) bad("boolean", name);
    return info_[i].As<Napi::Boolean>().Value();
  }
  std::string string(size_t i, const char* name) const {
    if (!info_[i].IsString()) bad("string", name);
    return info_[i].As<Napi::String>().Utf8Value();
  }
  // A Uint16Array holds bf16 numbers, any other value is for array<float>.
  bool is_bf16(size_t i) const {
    return info_[i].IsTypedArray() &&
           info_[i].As<Napi::TypedArray>().TypedArrayType() == napi_uint16_array;
  }
  bool is_codes(size_t i) const {
    return info_[i].IsTypedArray() &&
           info_[i].As<Napi::TypedArray>().TypedArrayType() == napi_uint8_array;
  }
  bool is_number(size_t i) const { return info_[i].IsNumber(); }
  bool is_null(size_t i) const { return info_[i].IsNull() || info_[i].IsUndefined(); }

  template <typename T>
  std::vector<T> array(size_t i, const char* name, size_t expected) const {
    std::vector<T> v = typed_array<T>(env_, info_[i], name);
    if (v.size() != expected) bad(std::to_string(expected) + " elements", name);
    return v;
  }

  template <typename... Extents>
  size_t count(int64_t first, Extents... rest) const {
    const auto n = checked_product(static_cast<size_t>(first), rest...);
    if (!n || *n > static_cast<size_t>(kMaxElements)) bad("at most 2^31 elements", "the shape");
    return *n;
  }

  void check(const Status& status) const {
    if (!status.ok()) throw_status(env_, status);
  }
  [[noreturn]] void bad(const std::string& expected, const char* name) const {
    throw_status(env_, Status(Code::kInvalidArg, "Expected " + expected + " for " + name));
  }

 private:
  const Napi::CallbackInfo& info_;
  Napi::Env env_;
};

// Numbers of an op's input or output in either type.
struct Numbers {
  NumberType type;
  std::vector<float> f32;
  std::vector<uint16_t> bf16;

  Numbers(NumberType type, size_t n)
      : type(type),
        f32(type == NumberType::kF32 ? n : 0),
        bf16(type == NumberType::kBf16 ? n : 0) {}
  Numbers(const Call& c, size_t i, const char* name, size_t n)
      : type(c.is_bf16(i) ? NumberType::kBf16 : NumberType::kF32) {
    if (type == NumberType::kBf16)
      bf16 = c.array<uint16_t>(i, name, n);
    else
      f32 = c.array<float>(i, name, n);
  }
  void* data() { return type == NumberType::kF32 ? static_cast<void*>(f32.data()) : bf16.data(); }
  Napi::Value to_js(Napi::Env env) const {
    if (type == NumberType::kF32) return float_array(env, f32);
    return fresh_array<uint16_t, Napi::Uint16Array>(env, bf16.data(), bf16.size());
  }
};

// Made on first use: importing the package must not start threads.
class LazyDevice {
 public:
  Device& get(const Call& c) {
    if (!device_) {
      auto made = make_cpu_device(0);
      c.check(made.status());
      device_ = made.value();
    }
    return *device_;
  }
  std::shared_ptr<Device> shared(const Call& c) {
    get(c);
    return device_;
  }

 private:
  std::shared_ptr<Device> device_;
};

using ResizeU8 = Status (*)(const uint8_t*, int, int, int, uint8_t*, int, int);

template <ResizeU8 Resize>
Napi::Value resize_u8(const Call& c) {
  const auto w = c.integer(1, "w"), h = c.integer(2, "h"),
             channels = c.integer(3, "channels", 1, 4);
  const auto dw = c.integer(4, "dw"), dh = c.integer(5, "dh");
  const auto src = c.array<uint8_t>(0, "src", c.count(w, h, channels));
  std::vector<uint8_t> dst(c.count(dw, dh, channels));
  c.check(Resize(src.data(), static_cast<int>(w), static_cast<int>(h), static_cast<int>(channels),
                 dst.data(), static_cast<int>(dw), static_cast<int>(dh)));
  return fresh_array<uint8_t, Napi::Uint8Array>(c.env(), dst.data(), dst.size());
}

Napi::Value resize_map(const Call& c) {
  const auto w = c.integer(1, "w"), h = c.integer(2, "h"), dw = c.integer(3, "dw"),
             dh = c.integer(4, "dh");
  const auto src = c.array<float>(0, "src", c.count(w, h));
  std::vector<float> dst(c.count(dw, dh));
  c.check(resize_map_f32(src.data(), static_cast<int>(w), static_cast<int>(h), dst.data(),
                         static_cast<int>(dw), static_cast<int>(dh)));
  return float_array(c.env(), dst);
}

Napi::Value preprocess(const Call& c) {
  const auto w = c.integer(1, "w"), h = c.integer(2, "h"), size = c.integer(3, "size", 1, 8192);
  const auto src = c.array<uint8_t>(0, "src", c.count(w, h, 3));
  std::vector<float> dst(c.count(3, size, size));
  c.check(preprocess_rgb8(src.data(), static_cast<int>(w), static_cast<int>(h),
                          static_cast<int>(size), dst.data()));
  return float_array(c.env(), dst);
}

Napi::Value regions(const Call& c) {
  const auto w = c.integer(1, "w"), h = c.integer(2, "h");
  const auto map = c.array<float>(0, "map", c.count(w, h));
  std::vector<Region> found;
  c.check(find_regions(map.data(), static_cast<int>(w), static_cast<int>(h),
                       static_cast<float>(c.number(3, "threshold")),
                       c.integer(4, "minArea", 1, int64_t{1} << 40), &found));
  Napi::Array out = Napi::Array::New(c.env(), found.size());
  for (size_t i = 0; i < found.size(); ++i)
    out.Set(static_cast<uint32_t>(i), region_object(c.env(), found[i]));
  return out;
}

// x is codes and the ninth argument their rows' scales and lows; the result is f32.
Napi::Value linear_int8(const Call& c, LazyDevice& lazy, LinearParams p, const LinearWeights& w,
                        std::vector<float> y) {
  const int64_t ldx = (w.k + 3) / 4 * 4;
  const auto codes = c.array<uint8_t>(0, "x", c.count(p.rows, w.k));
  const auto scales = c.array<float>(8, "scales", c.count(p.rows, 2));
  std::vector<uint8_t> padded(c.count(p.rows, ldx));
  std::vector<RowScale> rows;
  for (int64_t i = 0; i < p.rows; ++i) {
    std::copy_n(codes.data() + i * w.k, w.k, padded.data() + i * ldx);
    rows.push_back({scales[static_cast<size_t>(2 * i)], scales[static_cast<size_t>(2 * i + 1)]});
  }
  if (w.k > kMaxInt8Depth) c.bad("at most " + std::to_string(kMaxInt8Depth), "k of codes");
  auto packed = Linear::make(lazy.shared(c), w);
  c.check(packed.status());
  p.x = padded.data();
  p.ldx = ldx;
  p.weights = packed.value().packed();
  p.x_rows = rows.data();
  p.y = y.data();
  c.check(lazy.get(c).linear(p));
  return float_array(c.env(), y);
}

Napi::Value linear(const Call& c, LazyDevice& lazy) {
  const auto rows = c.integer(3, "rows"), n = c.integer(4, "n"), k = c.integer(5, "k");
  const std::string name = c.string(6, "act");
  const bool has_residual = !c.is_null(7);
  Activation act = Activation::kNone;
  if (name == "gelu")
    act = Activation::kGelu;
  else if (name == "quickGelu")
    act = Activation::kQuickGelu;
  else if (name == "leakyRelu")
    act = Activation::kLeakyRelu;
  else if (name != "none")
    c.bad("none, gelu, quickGelu or leakyRelu", "act");
  if (has_residual && act != Activation::kNone) c.bad("act none together with a residual", "act");
  const auto w = c.array<float>(1, "w", c.count(n, k));
  std::vector<float> b;
  if (!c.is_null(2)) b = c.array<float>(2, "b", c.count(n));
  if (c.is_codes(0)) {
    std::vector<float> y(c.count(rows, n));
    if (has_residual) y = c.array<float>(7, "residual", y.size());
    LinearParams p{nullptr, 0, nullptr, nullptr, n, rows, act, has_residual};
    return linear_int8(c, lazy, p,
                       {w.data(), b.empty() ? nullptr : b.data(), n, k, NumberType::kInt8},
                       std::move(y));
  }
  Numbers x(c, 0, "x", c.count(rows, k));
  Numbers y(has_residual ? NumberType::kF32 : x.type, c.count(rows, n));
  if (has_residual) y.f32 = c.array<float>(7, "residual", c.count(rows, n));
  auto packed =
      Linear::make(lazy.shared(c), {w.data(), b.empty() ? nullptr : b.data(), n, k, x.type});
  c.check(packed.status());
  LinearParams p{x.data(), k, packed.value().packed(), y.data(), n, rows, act, has_residual};
  p.y_type = y.type;
  c.check(lazy.get(c).linear(p));
  return y.to_js(c.env());
}

Napi::Value quantize(const Call& c, LazyDevice& lazy) {
  const auto rows = c.integer(1, "rows"), width = c.integer(2, "width");
  Numbers x(c, 0, "x", c.count(rows, width));
  std::vector<uint8_t> codes(c.count(rows, width));
  std::vector<RowScale> of_rows(c.count(rows));
  c.check(lazy.get(c).quantize(
      {x.data(), width, x.type, codes.data(), width, of_rows.data(), rows, width}));
  std::vector<float> scales;
  for (const RowScale& row : of_rows) {
    scales.push_back(row.scale);
    scales.push_back(row.low);
  }
  Napi::Object out = Napi::Object::New(c.env());
  out.Set("codes", fresh_array<uint8_t, Napi::Uint8Array>(c.env(), codes.data(), codes.size()));
  out.Set("scales", float_array(c.env(), scales));
  return out;
}

Napi::Value layer_norm(const Call& c, LazyDevice& lazy) {
  const auto rows = c.integer(3, "rows"), width = c.integer(4, "width");
  const auto x = c.array<float>(0, "x", c.count(rows, width));
  const auto weight = c.array<float>(1, "weight", c.count(width));
  const auto bias = c.array<float>(2, "bias", c.count(width));
  NumberType type = NumberType::kF32;
  if (!c.is_null(5)) {
    const std::string name = c.string(5, "type");
    if (name == "bf16")
      type = NumberType::kBf16;
    else if (name != "f32")
      c.bad("f32 or bf16", "type");
  }
  Numbers y(type, x.size());
  LayerNormParams p{x.data(), width, weight.data(), bias.data(), y.data(), width, rows, width};
  p.y_type = type;
  c.check(lazy.get(c).layer_norm(p));
  return y.to_js(c.env());
}

Napi::Value attention(const Call& c, LazyDevice& lazy) {
  const auto tokens = c.integer(1, "tokens", 1, 1 << 16), heads = c.integer(2, "heads", 1, 256);
  Numbers qkv(c, 0, "qkv", c.count(tokens, 3, heads, kHeadWidth));
  Numbers out(qkv.type, c.count(tokens, heads, kHeadWidth));
  c.check(lazy.get(c).attention(
      {qkv.data(), out.data(), 1, tokens, heads, c.boolean(3, "causal"), qkv.type}));
  return out.to_js(c.env());
}

Napi::Value conv_tokens(const Call& c, LazyDevice& lazy) {
  const auto grid = c.integer(2, "grid", 1, 4096), c_in = c.integer(3, "cIn", 1, 4096),
             c_out = c.integer(4, "cOut", 1, 4096);
  const auto k = c.integer(5, "k", 1, 31), groups = c.integer(6, "groups", 1, 4096);
  if (k % 2 == 0) c.bad("odd integer", "k");
  if (c_in % groups != 0 || c_out % groups != 0) c.bad("a divisor of cIn and cOut", "groups");
  const auto z = c.array<float>(0, "z", c.count(grid, grid, c_in));
  const auto w = c.array<float>(1, "w", c.count(c_out, c_in / groups, k, k));
  std::vector<float> y(c.count(grid, grid, c_out));
  c.check(lazy.get(c).conv_tokens(
      {z.data(), c_in, 0, w.data(), y.data(), c_out, 0, 1, grid, c_in, c_out, k, groups}));
  return float_array(c.env(), y);
}

Napi::Value lora_blend(const Call& c, LazyDevice& lazy) {
  const auto rows = c.integer(4, "rows"), width = c.integer(5, "width"),
             rank = c.integer(6, "rank");
  auto x = c.array<float>(0, "x", c.count(rows, width));
  const auto y = c.array<float>(1, "y", c.count(rows, rank));
  const auto up = c.array<float>(2, "up", c.count(rank, width));
  const auto mix = c.array<float>(3, "mix", c.count(width));
  c.check(lazy.get(c).lora_blend(
      {x.data(), width, y.data(), rank, up.data(), mix.data(), rows, width, rank}));
  return float_array(c.env(), x);
}

Napi::Value positions(const Call& c) {
  const auto old_grid = c.integer(1, "oldGrid", 1, 1024), grid = c.integer(2, "grid", 1, 1024),
             width = c.integer(3, "width");
  const auto pos = c.array<float>(0, "pos", c.count(1 + old_grid * old_grid, width));
  std::vector<float> out(c.count(1 + grid * grid, width));
  resize_positions(pos.data(), old_grid, out.data(), grid, width);
  return float_array(c.env(), out);
}

Napi::Value fuse_map(const Call& c, LazyDevice& lazy) {
  const auto groups = c.integer(2, "groups", 1, 64), grid = c.integer(3, "grid", 1, 1024),
             size = c.integer(4, "size", 1, 8192);
  const auto taps = c.integer(5, "taps", 1, 99);
  if (taps % 2 == 0) c.bad("odd integer", "taps");
  const auto dots = c.array<float>(0, "dots", c.count(groups, grid, grid, 2, groups));
  const auto gates = c.array<float>(1, "gates", c.count(groups, groups, 2));
  std::vector<float> map(c.count(size, size));
  float max = 0;
  c.check(
      lazy.get(c).fuse_map({dots.data(), gates.data(), groups, grid, size, taps,
                            static_cast<float>(c.number(6, "sigma")), map.data(), &max, nullptr}));
  return float_array(c.env(), map);
}

Napi::Value patchify(const Call& c, LazyDevice& lazy) {
  const auto size = c.integer(1, "size", 1, 8192), patch = c.integer(2, "patch", 1, 256);
  if (size % patch != 0) c.bad("multiple of patch", "size");
  const auto image = c.array<float>(0, "image", c.count(3, size, size));
  std::vector<float> rows(image.size());
  c.check(lazy.get(c).patchify({image.data(), rows.data(), 1, size, patch}));
  return float_array(c.env(), rows);
}

Napi::Value assemble_tokens(const Call& c, LazyDevice& lazy) {
  const auto tokens = c.integer(3, "tokens"), width = c.integer(4, "width");
  auto x = c.array<float>(0, "x", c.count(tokens, width));
  const auto cls = c.array<float>(1, "classEmbedding", c.count(width));
  const auto positions = c.array<float>(2, "positions", c.count(tokens, width));
  c.check(lazy.get(c).assemble_tokens({x.data(), cls.data(), positions.data(), 1, tokens, width}));
  return float_array(c.env(), x);
}

Napi::Value gather_tokens(const Call& c, LazyDevice& lazy) {
  const auto length = c.integer(3, "length"), vocabulary = c.integer(4, "vocabulary");
  const auto width = c.integer(5, "width");
  const auto ids = c.array<int32_t>(0, "ids", c.count(length));
  for (int32_t id : ids) {
    if (id < 0 || id >= vocabulary) c.bad("ids below " + std::to_string(vocabulary), "ids");
  }
  std::vector<float> table;
  uint32_t seed = 0;
  const bool seeded = c.is_number(1);
  if (seeded)
    seed = static_cast<uint32_t>(c.integer(1, "table", 0, int64_t{0xffffffff}));
  else
    table = c.array<float>(1, "table", c.count(vocabulary, width));
  const auto positions = c.array<float>(2, "positions", c.count(length, width));
  std::vector<float> x(c.count(length, width));
  c.check(lazy.get(c).gather_tokens({ids.data(), table.data(),
                                     seeded ? TableType::kSeeded : TableType::kF32,
                                     positions.data(), x.data(), 1, length, width, seed}));
  return float_array(c.env(), x);
}

Napi::Value head(const Call& c, LazyDevice& lazy) {
  const auto tokens = c.integer(6, "tokens"), k = c.integer(7, "k"), width = c.integer(8, "width");
  const auto columns = c.integer(9, "columns", 0, 4096);
  const auto h = c.array<float>(0, "h", c.count(tokens, k));
  const auto w = c.array<float>(1, "w", c.count(width, k));
  const auto b = c.array<float>(2, "b", c.count(width));
  const auto norm_weight = c.array<float>(3, "normWeight", c.count(width));
  const auto norm_bias = c.array<float>(4, "normBias", c.count(width));
  std::vector<float> text, dots, mean(c.count(width)), vectors(c.count(tokens, width));
  if (columns > 0) {
    text = c.array<float>(5, "text", c.count(columns, width));
    dots.resize(c.count(tokens, columns));
  }
  auto packed = Linear::make(lazy.shared(c), {w.data(), b.data(), width, k});
  c.check(packed.status());
  c.check(
      lazy.get(c).head({h.data(), k, packed.value().packed(), norm_weight.data(), norm_bias.data(),
                        columns > 0 ? text.data() : nullptr, columns, mean.data(),
                        columns > 0 ? dots.data() : nullptr, vectors.data(), tokens, width}));
  Napi::Object out = Napi::Object::New(c.env());
  out.Set("mean", float_array(c.env(), mean));
  out.Set("dots", float_array(c.env(), dots));
  out.Set("vectors", float_array(c.env(), vectors));
  return out;
}

Napi::Value gate(const Call& c, LazyDevice& lazy) {
  const auto width = c.integer(5, "width"), hidden = c.integer(6, "hidden");
  const auto groups = c.integer(7, "groups", 1, 64);
  const auto mean = c.array<float>(0, "mean", c.count(width));
  const auto w1 = c.array<float>(1, "w1", c.count(hidden, width));
  const auto b1 = c.array<float>(2, "b1", c.count(hidden));
  const auto w2 = c.array<float>(3, "w2", c.count(2 * groups, hidden));
  const auto b2 = c.array<float>(4, "b2", c.count(2 * groups));
  std::vector<float> out(c.count(groups, 2));
  const GateWeights weights = {w1.data(), b1.data(), w2.data(), b2.data()};
  c.check(lazy.get(c).gate({mean.data(), &weights, out.data(), width, hidden, groups}));
  return float_array(c.env(), out);
}

}  // namespace

Napi::Object make_kernels(Napi::Env env) {
  Napi::Object o = Napi::Object::New(env);
  const auto lazy = std::make_shared<LazyDevice>();
  const auto op = [&](const char* name, auto body) {
    o.Set(name, Napi::Function::New(
                    env,
                    [lazy, body](const Napi::CallbackInfo& info) -> Napi::Value {
                      return entry_point(info.Env(), [&] { return body(Call(info), *lazy); });
                    },
                    name));
  };
  op("resizeBicubic", [](const Call& c, LazyDevice&) { return resize_u8<resize_bicubic_u8>(c); });
  op("resizeNearest", [](const Call& c, LazyDevice&) { return resize_u8<resize_nearest_u8>(c); });
  op("resizeMap", [](const Call& c, LazyDevice&) { return resize_map(c); });
  op("preprocess", [](const Call& c, LazyDevice&) { return preprocess(c); });
  op("regions", [](const Call& c, LazyDevice&) { return regions(c); });
  op("linear", linear);
  op("quantize", quantize);
  op("layerNorm", layer_norm);
  op("attention", attention);
  op("convTokens", conv_tokens);
  op("loraBlend", lora_blend);
  op("resizePositions", [](const Call& c, LazyDevice&) { return positions(c); });
  op("fuseMap", fuse_map);
  op("patchify", patchify);
  op("assembleTokens", assemble_tokens);
  op("gatherTokens", gather_tokens);
  op("head", head);
  op("gate", gate);
  return o;
}

}  // namespace acd
