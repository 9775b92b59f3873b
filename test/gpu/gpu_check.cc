// What scripts/gpu-check.sh runs on a machine with a GPU: every op against its reference, whole
// models against the references, and the benchmark. One JSON object a line; ends with 1 when a
// check failed.
//
//   acd_gpu_check ops | attention | tiny | model | bench
//     attention: it alone, for ACD_CUDA_ATTENTION=cudnn
//     tiny: one small shape of each op and a small model, for compute-sanitizer
#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstdio>
#include <cstring>
#include <functional>
#include <future>
#include <string>
#include <vector>

#include "backend/cuda_plugin.h"
#include "core/half.h"
#include "infer/session.h"
#include "random_model.h"
#include "reference_device.h"

using namespace acd;
using namespace acd::test;

namespace {

using DevicePtr = std::shared_ptr<Device>;
int g_failed = 0;

// Inside a JSON string.
std::string quoted(const std::string& text) {
  std::string out;
  for (char c : text) {
    if (c == '"' || c == '\\') out += '\\';
    out += static_cast<unsigned char>(c) < ' ' ? ' ' : c;
  }
  return out;
}

[[noreturn]] void stop(const Status& status) {
  std::printf("{\"check\": \"stopped\", \"ok\": false, \"why\": \"%s\"}\n",
              quoted(status.message()).c_str());
  std::fflush(stdout);
  std::_Exit(1);
}
void must(const Status& status) {
  if (!status.ok()) stop(status);
}
template <typename T>
T must(Result<T> result) {
  if (!result.ok()) stop(result.status());
  return std::move(result.value());
}

void report(const std::string& name, double error, double allowed) {
  const bool ok = error <= allowed;  // false for NaN
  g_failed += !ok;
  std::printf("{\"check\": \"%s\", \"ok\": %s, \"error\": %.3g, \"allowed\": %.3g}\n", name.c_str(),
              ok ? "true" : "false", error, allowed);
  std::fflush(stdout);
}

// ---------------------------------------------------------------------------- ops

// To kBf16 or kF16.
std::vector<uint16_t> rounded(const std::vector<float>& v, NumberType type) {
  std::vector<uint16_t> out(v.size());
  for (size_t i = 0; i < v.size(); ++i) put_number(out.data(), type, static_cast<int64_t>(i), v[i]);
  return out;
}

// Arrays of one device, filled from the same seeds whatever the device.
class Bench {
 public:
  explicit Bench(DevicePtr device) : device(std::move(device)) {}

  template <typename T>
  T* put(const std::vector<T>& v) {
    arrays_.push_back(must(DeviceArray<uint8_t>::make(device, v.size() * sizeof(T))));
    must(device->upload(arrays_.back().data(), v.data(), v.size() * sizeof(T)));
    return reinterpret_cast<T*>(arrays_.back().data());
  }
  float* in(int64_t n, float scale = 1) {
    return put(random_floats(static_cast<size_t>(n), ++seed_, scale));
  }
  void* in(int64_t n, NumberType type, float scale = 1) {
    const auto v = random_floats(static_cast<size_t>(n), ++seed_, scale);
    return type == NumberType::kF32 ? static_cast<void*>(put(v)) : put(rounded(v, type));
  }
  void* out(int64_t n, NumberType type) {
    void* p = type == NumberType::kF32
                  ? static_cast<void*>(in(n))
                  : put(rounded(random_floats(static_cast<size_t>(n), 7, 1), type));
    outputs_.push_back({p, n, type});
    return p;
  }
  float* out(int64_t n) { return static_cast<float*>(out(n, NumberType::kF32)); }
  const PackedLinear* linear(int64_t n, int64_t k, bool bias, NumberType type) {
    const auto w =
        random_floats(static_cast<size_t>(n * k), ++seed_, 1.7f / std::sqrt(static_cast<float>(k)));
    const auto b = random_floats(static_cast<size_t>(n), ++seed_, 1);
    linears_.push_back(
        must(Linear::make(device, {w.data(), bias ? b.data() : nullptr, n, k, type})));
    return linears_.back().packed();
  }
  std::vector<float> results() {
    std::vector<float> all;
    for (const Output& o : outputs_) {
      const auto n = static_cast<size_t>(o.n);
      if (o.type == NumberType::kF32) {
        std::vector<float> v(n);
        must(device->download(v.data(), o.memory, n * sizeof(float)));
        all.insert(all.end(), v.begin(), v.end());
      } else {
        std::vector<uint16_t> v(n);
        must(device->download(v.data(), o.memory, n * sizeof(uint16_t)));
        for (size_t i = 0; i < n; ++i)
          all.push_back(number_at(v.data(), o.type, static_cast<int64_t>(i)));
      }
    }
    return all;
  }
  DevicePtr device;

 private:
  struct Output {
    void* memory;
    int64_t n;
    NumberType type;
  };
  uint32_t seed_ = 0;
  std::vector<DeviceArray<uint8_t>> arrays_;
  std::vector<Linear> linears_;
  std::vector<Output> outputs_;
};

// Largest difference over the largest value of the reference.
void compare(const std::string& name, const DevicePtr& cuda, double allowed,
             const std::function<Status(Bench&)>& run) {
  Bench expected(reference_device()), actual(cuda);
  must(run(expected));
  const Status status = run(actual);
  if (!status.ok()) {
    ++g_failed;
    std::printf("{\"check\": \"%s\", \"ok\": false, \"why\": \"%s\"}\n", name.c_str(),
                status.message().c_str());
    return;
  }
  const auto a = actual.results(), e = expected.results();
  double worst = 0, largest = 0;
  for (size_t i = 0; i < e.size(); ++i) {
    const double difference = std::fabs(double{a[i]} - e[i]);
    worst = difference <= worst ? worst : difference;
    largest = std::max(largest, std::fabs(double{e[i]}));
  }
  report(name, worst / largest, allowed);
}

constexpr double kF32 = 4e-6, kBf16 = 1e-2, kF16 = kBf16 / 8;
constexpr NumberType kTypes[] = {NumberType::kF32, NumberType::kBf16, NumberType::kF16};

double allowed(NumberType type) {
  return type == NumberType::kF32 ? kF32 : type == NumberType::kBf16 ? kBf16 : kF16;
}
const char* type_name(NumberType type) {
  return type == NumberType::kF32 ? "f32" : type == NumberType::kBf16 ? "bf16" : "f16";
}

void check_linear(const DevicePtr& cuda, int64_t rows, int64_t n, int64_t k, int64_t batch,
                  int64_t gap) {
  for (NumberType type : kTypes) {
    for (Activation act :
         {Activation::kNone, Activation::kGelu, Activation::kQuickGelu, Activation::kLeakyRelu}) {
      for (NumberType y_type : {NumberType::kF32, type}) {
        for (bool accumulate : {false, true}) {
          if (accumulate && (act != Activation::kNone || y_type != NumberType::kF32)) continue;
          compare(std::string("linear ") + type_name(type) + " to " + type_name(y_type) + " act " +
                      std::to_string(static_cast<int>(act)) + (accumulate ? " residual" : "") +
                      " " + std::to_string(rows) + "x" + std::to_string(n) + "x" +
                      std::to_string(k) + " batch " + std::to_string(batch),
                  cuda, allowed(type), [&](Bench& b) {
                    LinearParams p = {};
                    const int64_t item_x = (rows + gap) * k, item_y = (rows + gap) * n;
                    p.x = b.in(batch * item_x, type);
                    p.ldx = k;
                    p.weights = b.linear(n, k, true, type);
                    p.y = b.out(batch * item_y, y_type);
                    p.ldy = n;
                    p.rows = rows;
                    p.act = act;
                    p.accumulate = accumulate;
                    p.batch = batch;
                    p.batch_x = item_x;
                    p.batch_y = item_y;
                    p.y_type = y_type;
                    return b.device->linear(p);
                  });
        }
      }
    }
  }
}

void check_attention(const DevicePtr& cuda, int64_t tokens, int64_t width) {
  for (NumberType type : kTypes) {
    for (bool causal : {false, true}) {
      compare(std::string("attention ") + type_name(type) + (causal ? " causal " : " ") +
                  std::to_string(tokens),
              cuda, allowed(type), [&](Bench& b) {
                const int64_t heads = width / 64;
                return b.device->attention({b.in(2 * tokens * 3 * width, type, 2),
                                            b.out(2 * tokens * width, type), 2, tokens, heads,
                                            causal, type});
              });
    }
  }
}

void check_towers(const DevicePtr& cuda, int64_t tokens, int64_t width) {
  for (NumberType type : kTypes) {
    compare(std::string("layer_norm to ") + type_name(type) + " " + std::to_string(width), cuda,
            allowed(type), [&](Bench& b) {
              LayerNormParams p = {};
              p.x = b.in(tokens * width);
              p.ldx = width;
              p.weight = b.in(width);
              p.bias = b.in(width);
              p.y = b.out(tokens * width, type);
              p.ldy = width;
              p.rows = tokens;
              p.width = width;
              p.y_type = type;
              return b.device->layer_norm(p);
            });
  }
  check_attention(cuda, tokens, width);
}

// Codes with a scale a row, as the model has them: a norm writes them, a product reads them.
void check_fp8(const DevicePtr& cuda, int64_t tokens, int64_t width) {
  struct Codes {
    void* y;
    float* scales;
  };
  const auto codes_of = [&](Bench& b, int64_t columns, NumberType type, Activation act) {
    Codes c = {b.put(std::vector<uint8_t>(static_cast<size_t>(2 * tokens * columns))),
               b.out(2 * tokens)};
    QuantizeParams q = {b.in(2 * tokens * columns, type, 3),
                        columns,
                        type,
                        static_cast<uint8_t*>(c.y),
                        columns,
                        nullptr,
                        2 * tokens,
                        columns};
    q.y_type = NumberType::kE4m3;
    q.y_scales = c.scales;
    q.act = act;
    must(b.device->quantize(q));
    return c;
  };
  for (NumberType y_type : {NumberType::kF32, NumberType::kBf16}) {
    for (bool accumulate : {false, true}) {
      for (Activation act : {Activation::kNone, Activation::kGelu}) {
        if (accumulate && (act != Activation::kNone || y_type != NumberType::kF32)) continue;
        compare(std::string("linear fp8 to ") + type_name(y_type) + " act " +
                    std::to_string(static_cast<int>(act)) + (accumulate ? " residual " : " ") +
                    std::to_string(tokens) + "x" + std::to_string(width),
                cuda, kBf16, [&](Bench& b) {
                  const Codes x = codes_of(b, width, NumberType::kBf16, Activation::kNone);
                  LinearParams p = {};
                  p.x = x.y;
                  p.x_scales = x.scales;
                  p.ldx = width;
                  p.weights = b.linear(3 * width, width, true, NumberType::kE4m3);
                  p.y = b.out(2 * tokens * 3 * width, y_type);
                  p.ldy = 3 * width;
                  p.rows = tokens;
                  p.batch = 2;
                  p.batch_x = tokens * width;
                  p.batch_y = tokens * 3 * width;
                  p.y_type = y_type;
                  p.act = act;
                  p.accumulate = accumulate;
                  return b.device->linear(p);
                });
      }
    }
  }
  // Codes themselves may differ by one beside the middle of two; through a product that is small.
  compare("layer_norm to fp8 and a product " + std::to_string(width), cuda, 2e-2, [&](Bench& b) {
    void* codes = b.put(std::vector<uint8_t>(static_cast<size_t>(2 * tokens * width)));
    float* scales = b.out(2 * tokens);
    LayerNormParams n = {
        b.in(2 * tokens * width), width, b.in(width), b.in(width), codes, width, 2 * tokens, width};
    n.y_type = NumberType::kE4m3;
    n.y_scales = scales;
    must(b.device->layer_norm(n));
    LinearParams p = {};
    p.x = codes;
    p.x_scales = scales;
    p.ldx = width;
    p.weights = b.linear(width, width, true, NumberType::kE4m3);
    p.y = b.out(2 * tokens * width);
    p.ldy = width;
    p.rows = 2 * tokens;
    return b.device->linear(p);
  });
  compare("quantize GELU to fp8, scales", cuda, 1e-6, [&](Bench& b) {
    codes_of(b, 4 * width, NumberType::kBf16, Activation::kGelu);
    return Status();
  });
}

void check_pictures(const DevicePtr& cuda, int64_t grid, int64_t width) {
  const int64_t n = grid * grid, patch = 14, size = grid * patch;
  compare("patchify", cuda, 0, [&](Bench& b) {
    return b.device->patchify(
        {b.in(2 * 3 * size * size), b.out(2 * n * 3 * patch * patch), 2, size, patch});
  });
  compare("assemble_tokens", cuda, kF32, [&](Bench& b) {
    return b.device->assemble_tokens(
        {b.out(2 * (n + 1) * width), b.in(width), b.in((n + 1) * width), 2, n + 1, width});
  });
  for (int64_t groups : {int64_t{1}, int64_t{8}}) {
    for (int64_t k : {int64_t{3}, int64_t{5}}) {
      compare("conv_tokens k " + std::to_string(k) + " groups " + std::to_string(groups), cuda,
              kF32, [&](Bench& b) {
                ConvTokensParams p = {};
                p.x = b.in(2 * n * 16);
                p.ldx = 16;
                p.batch_x = n * 16;
                p.weight = b.in(8 * 8 / groups * k * k);
                p.y = b.out(2 * n * 16);
                p.ldy = 16;
                p.batch_y = n * 16;
                p.batch = 2;
                p.grid = grid;
                p.c_in = p.c_out = 8;
                p.k = k;
                p.groups = groups;
                return b.device->conv_tokens(p);
              });
    }
  }
  compare("lora_blend", cuda, kF32, [&](Bench& b) {
    LoraBlendParams p = {b.out(2 * n * width),
                         width,
                         b.in(2 * n * 32),
                         32,
                         b.in(32 * width),
                         b.in(width),
                         n,
                         width,
                         32};
    p.batch = 2;
    p.batch_x = n * width;
    p.batch_y = n * 32;
    return b.device->lora_blend(p);
  });
  compare("head", cuda, kF32, [&](Bench& b) {
    HeadParams p = {};
    p.h = b.in(2 * n * 32);
    p.ldh = 32;
    p.weights = b.linear(width, 32, true, NumberType::kF32);
    p.norm_weight = b.in(width);
    p.norm_bias = b.in(width);
    p.text = b.in(2 * 8 * width, 0.1f);
    p.columns = 8;
    p.mean = b.out(2 * width);
    p.dots = b.out(2 * n * 8);
    p.vectors = b.out(2 * n * width);
    p.tokens = n;
    p.width = width;
    p.batch = 2;
    p.batch_h = n * 32;
    p.batch_text = 8 * width;
    p.batch_mean = width;
    p.batch_dots = n * 8;
    p.batch_vectors = n * width;
    return b.device->head(p);
  });
  compare("gate", cuda, kF32, [&](Bench& b) {
    const float* mean = b.in(2 * 3 * width);
    std::vector<GateWeights> of;
    for (int i = 0; i < 3; ++i)
      of.push_back({b.in(32 * width, 0.1f), b.in(32), b.in(8 * 32), b.in(8)});
    return b.device->gate({mean, of.data(), b.out(2 * 3 * 8), width, 32, 4, 3, 2});
  });
  compare("fuse_map", cuda, 2e-5, [&](Bench& b) {
    FuseMapParams p = {b.in(2 * 4 * n * 8, 0.2f),
                       b.in(2 * 4 * 4 * 2),
                       4,
                       grid,
                       size,
                       7,
                       1.0f,
                       b.out(2 * size * size),
                       b.out(2),
                       b.out(2 * 4 * 2 * n)};
    p.batch = 2;
    p.batch_dots = 4 * n * 8;
    p.batch_gates = 4 * 4 * 2;
    p.batch_map = size * size;
    p.batch_max = 1;
    p.batch_logits = 4 * 2 * n;
    return b.device->fuse_map(p);
  });
}

void check_text(const DevicePtr& cuda, int64_t width) {
  std::vector<int32_t> ids;
  for (int i = 0; i < 3 * 9; ++i) ids.push_back(i * 7 % 40);
  for (TableType type : {TableType::kF32, TableType::kF16, TableType::kBf16, TableType::kSeeded}) {
    compare("gather_tokens table " + std::to_string(static_cast<int>(type)), cuda, 1e-7,
            [&](Bench& b) {
              GatherTokensParams p = {};
              p.ids = b.put(ids);
              const auto table = random_floats(static_cast<size_t>(40 * width), 3, 1);
              p.table = type == TableType::kF32
                            ? static_cast<void*>(b.put(table))
                            : b.put(rounded(table, type == TableType::kF16 ? NumberType::kF16
                                                                           : NumberType::kBf16));
              p.type = type;
              p.positions = b.in(9 * width);
              p.x = b.out(27 * width);
              p.sequences = 3;
              p.length = 9;
              p.width = width;
              p.seed = 5;
              return b.device->gather_tokens(p);
            });
  }
}

void check_ops(const DevicePtr& cuda, bool tiny) {
  if (tiny) {
    check_linear(cuda, 5, 16, 24, 2, 1);
    check_towers(cuda, 17, 64);
    if (cuda->check_precision(Precision::kFp8).ok()) check_fp8(cuda, 17, 64);
    check_pictures(cuda, 3, 64);
    check_text(cuda, 64);
    return;
  }
  check_linear(cuda, 33, 96, 64, 1, 0);
  check_linear(cuda, 130, 64, 128, 3, 1);
  check_linear(cuda, 257, 192, 588, 2, 1);
  for (int64_t tokens : {1, 63, 64, 65, 197, 577, 1370}) check_towers(cuda, tokens, 128);
  for (int64_t width : {64, 768, 1024}) check_towers(cuda, 20, width);
  if (cuda->check_precision(Precision::kFp8).ok()) {
    for (int64_t tokens : {1, 63, 197}) check_fp8(cuda, tokens, 128);
    check_fp8(cuda, 20, 1024);
  } else {
    std::printf("{\"note\": \"fp8 is not checked: %s\"}\n",
                cuda->check_precision(Precision::kFp8).message().c_str());
  }
  check_pictures(cuda, 5, 64);
  check_pictures(cuda, 37, 768);
  check_text(cuda, 768);
}

// ---------------------------------------------------------------------------- models

std::vector<float> text_of(const ModelConfig& c) {
  auto text = random_floats(static_cast<size_t>(c.groups * c.embed_dim * 2), 11, 1);
  // Unit columns, as class features are.
  for (int64_t g = 0; g < c.groups; ++g) {
    for (int64_t k = 0; k < 2; ++k) {
      double square = 0;
      const auto at = [&](int64_t i) -> float& {
        return text[static_cast<size_t>((g * c.embed_dim + i) * 2 + k)];
      };
      for (int64_t i = 0; i < c.embed_dim; ++i) square += double{at(i)} * at(i);
      for (int64_t i = 0; i < c.embed_dim; ++i)
        at(i) = static_cast<float>(at(i) / std::sqrt(square));
    }
  }
  return text;
}

struct Outcome {
  std::vector<float> maps, features, text;
};

Outcome run_model(const RandomModel& weights, const DevicePtr& device, const ModelConfig& c,
                  Precision precision, int64_t items) {
  const auto model = must(weights.load(device, precision));
  const auto stream = must(device->fork());
  auto ws = must(model->make_workspace(stream, items));
  const auto images =
      random_floats(static_cast<size_t>(items * 3 * c.image_size * c.image_size), 13, 2);
  Exchange& exchange = ws.exchanges.front();
  for (int64_t i = 0; i < items; ++i)
    must(exchange.put_tensor(i, images.data() + i * 3 * c.image_size * c.image_size));
  const auto text = text_of(c);
  const std::vector<ImageRequest> requests(static_cast<size_t>(items), {text.data(), 7, 1});
  std::vector<ImageResult> results;
  must(model->compute(ws, exchange, requests, false, nullptr));
  must(exchange.fetch(requests, false, results));
  Outcome out;
  for (const ImageResult& r : results) {
    out.maps.insert(out.maps.end(), r.map, r.map + c.image_size * c.image_size);
    out.features.insert(out.features.end(), r.det_features,
                        r.det_features + c.groups * c.embed_dim);
  }
  std::vector<int32_t> tokens;
  for (int i = 0; i < 3 * 9; ++i) tokens.push_back(i % 9 == 8 ? 39 : i * 5 % 38);
  must(model->encode_text(stream, tokens, 3, 9, nullptr, out.text));
  return out;
}

double largest_difference(const std::vector<float>& a, const std::vector<float>& b) {
  double worst = 0;
  for (size_t i = 0; i < a.size(); ++i) {
    const double difference = std::fabs(double{a[i]} - b[i]);
    worst = difference <= worst ? worst : difference;
  }
  return worst;
}

// ---------------------------------------------------------------------------- sessions

DetectJob picture_job(int seed, int64_t width, int64_t height, const std::vector<float>& text,
                      float* map) {
  DetectJob job;
  job.picture.width = width;
  job.picture.height = height;
  job.picture.pixels.resize(static_cast<size_t>(width * height * 3));
  uint32_t state = static_cast<uint32_t>(seed) * 2654435761u + 1;
  for (auto& v : job.picture.pixels)
    v = static_cast<uint8_t>((state = state * 1664525u + 1013904223u) >> 24);
  job.text = text;
  job.map_out = map;
  job.blur_taps = seed % 5 == 1 ? 3 : 7;
  return job;
}

// Pictures of several sizes, all at once; their maps one behind the other.
std::vector<float> run_session(Session& session, const std::vector<float>& text, int count) {
  const ModelConfig& c = session.config();
  const int64_t sizes[][2] = {
      {97, 61}, {c.image_size, c.image_size}, {2, 301}, {640, 480}, {97, 61}};
  const auto area = static_cast<size_t>(c.image_size * c.image_size);
  std::vector<float> maps(area * static_cast<size_t>(count));
  std::vector<std::promise<Status>> done(static_cast<size_t>(count));
  for (int i = 0; i < count; ++i) {
    auto* promise = &done[static_cast<size_t>(i)];
    must(session.submit(picture_job(i, sizes[i % 5][0], sizes[i % 5][1], text,
                                    maps.data() + area * static_cast<size_t>(i)),
                        [promise](Status status, Detection&&) { promise->set_value(status); }));
  }
  for (auto& promise : done) must(promise.get_future().get());
  return maps;
}

// Whole pictures in, maps out: preparation, overlapping batches and graphs.
void check_session(const DevicePtr& cuda, bool tiny) {
  const ModelConfig c = small_config();
  const RandomModel weights(c);
  const auto text = text_of(c);
  const int count = tiny ? 7 : 60;
  Session host(must(weights.load(reference_device(), Precision::kFp32)), 256);
  Session session(must(weights.load(cuda, Precision::kFp32)), 256);
  const auto expected = run_session(host, text, count);
  for (int round = 0; round < 3; ++round) {
    report("session, round " + std::to_string(round),
           largest_difference(run_session(session, text, count), expected), 1e-4);
    for (int i = 0; i < 3; ++i) {
      const auto one = run_session(session, text, 1);
      report("session alone",
             largest_difference(one, {expected.begin(),
                                      expected.begin() + static_cast<std::ptrdiff_t>(one.size())}),
             1e-4);
    }
  }
  if (!session.graph_fault().empty()) {
    ++g_failed;
    std::printf("{\"check\": \"session graphs\", \"ok\": false, \"why\": \"%s\"}\n",
                session.graph_fault().c_str());
  }
}

void check_model(const DevicePtr& cuda) {
  const ModelConfig c = small_config();
  const RandomModel weights(c);
  const Outcome expected = run_model(weights, reference_device(), c, Precision::kFp32, 3);
  const Outcome exact = run_model(weights, cuda, c, Precision::kFp32, 3);
  report("model fp32, map", largest_difference(exact.maps, expected.maps), 1e-4);
  report("model fp32, features", largest_difference(exact.features, expected.features), 1e-4);
  report("model fp32, text", largest_difference(exact.text, expected.text), 1e-4);
  const Outcome half = run_model(weights, cuda, c, Precision::kBf16, 3);
  report("model bf16, map", largest_difference(half.maps, expected.maps), 1e-2);
  const Outcome finer = run_model(weights, cuda, c, Precision::kFp16, 3);
  report("model fp16, map", largest_difference(finer.maps, expected.maps), 1.25e-3);
  if (cuda->check_precision(Precision::kFp8).ok()) {
    const Outcome coarse = run_model(weights, cuda, c, Precision::kFp8, 3);
    report("model fp8, map", largest_difference(coarse.maps, expected.maps), 5e-2);
    // Only here are all products in fp8.
    ModelConfig wide = c;
    wide.vision_width = 512;
    const RandomModel many(wide);
    const Outcome sure = run_model(many, reference_device(), wide, Precision::kFp32, 3);
    const Outcome all = run_model(many, cuda, wide, Precision::kFp8, 3);
    report("model fp8 of width 512, map", largest_difference(all.maps, sure.maps), 5e-2);
  }
}

// ---------------------------------------------------------------------------- benchmark

double seconds_of(const std::function<void()>& work) {
  const auto start = std::chrono::steady_clock::now();
  work();
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
}

// Median of `runs`, after two that do not count.
double median_seconds(int runs, const std::function<void()>& work) {
  std::vector<double> times;
  for (int i = 0; i < runs + 2; ++i) {
    const double t = seconds_of(work);
    if (i >= 2) times.push_back(t);
  }
  std::nth_element(times.begin(), times.begin() + runs / 2, times.end());
  return times[static_cast<size_t>(runs / 2)];
}

void measure(const std::string& name, double value, const char* unit) {
  std::printf("{\"measure\": \"%s\", \"value\": %.6g, \"unit\": \"%s\"}\n", name.c_str(), value,
              unit);
  std::fflush(stdout);
}

void bench_products(const DevicePtr& cuda) {
  struct Shape {
    const char* name;
    int64_t rows, n, k;
  };
  for (const Shape& s : {Shape{"product 8192 x 8192 x 8192", 8192, 8192, 8192},
                         Shape{"product QKV, B = 12", 12 * 1370, 3072, 1024},
                         Shape{"product FC2, B = 12", 12 * 1370, 1024, 4096}}) {
    Bench b(cuda);
    LinearParams p = {};
    p.x = b.in(s.rows * s.k, NumberType::kBf16);
    p.ldx = s.k;
    p.weights = b.linear(s.n, s.k, true, NumberType::kBf16);
    p.y = b.out(s.rows * s.n, NumberType::kBf16);
    p.ldy = s.n;
    p.rows = s.rows;
    p.y_type = NumberType::kBf16;
    const double t = median_seconds(5, [&] {
      for (int i = 0; i < 10; ++i) must(cuda->linear(p));
      must(cuda->synchronize());
    });
    measure(s.name, 20.0 * static_cast<double>(s.rows) * s.n * s.k / t / 1e12, "TFLOP/s");
  }
}

void bench_attention(const DevicePtr& cuda) {
  for (int64_t batch : {1, 3, 12}) {
    Bench b(cuda);
    const int64_t tokens = 1370, width = 1024;
    const AttentionParams p = {b.in(batch * tokens * 3 * width, NumberType::kBf16),
                               b.out(batch * tokens * width, NumberType::kBf16),
                               batch,
                               tokens,
                               width / 64,
                               false,
                               NumberType::kBf16};
    const double t = median_seconds(5, [&] {
      for (int i = 0; i < 10; ++i) must(cuda->attention(p));
      must(cuda->synchronize());
    });
    measure("attention, B = " + std::to_string(batch),
            10 * 4.0 * static_cast<double>(batch * tokens * tokens * width) / t / 1e12, "TFLOP/s");
  }
}

void bench_model(const DevicePtr& cuda) {
  const ModelConfig c = vit_l_config();
  const RandomModel weights(c);
  const auto text = text_of(c);
  for (Precision precision :
       {Precision::kBf16, Precision::kFp16, Precision::kFp8, Precision::kFp32}) {
    if (!cuda->check_precision(precision).ok()) continue;
    const auto model = must(weights.load(cuda, precision));
    const auto stream = must(cuda->fork());
    for (int64_t items : {1, 3, 12, 24}) {
      if (precision == Precision::kFp32 && items > 3) continue;
      auto ws = must(model->make_workspace(stream, items));
      const auto images =
          random_floats(static_cast<size_t>(items * 3 * c.image_size * c.image_size), 13, 2);
      const std::vector<ImageRequest> requests(static_cast<size_t>(items), {text.data(), 7, 1});
      std::vector<ImageResult> results;
      Exchange& exchange = ws.exchanges.front();
      const double t = median_seconds(7, [&] {
        for (int64_t i = 0; i < items; ++i)
          must(exchange.put_tensor(i, images.data() + i * 3 * c.image_size * c.image_size));
        must(model->compute(ws, exchange, requests, false, nullptr));
        must(exchange.fetch(requests, false, results));
      });
      const std::string name =
          std::string("ours, ") + precision_name(precision) + ", B = " + std::to_string(items);
      measure(name, static_cast<double>(items) / t, "images/s");
      if (items == 1) measure(name + ", latency", 1000 * t, "ms");
    }
  }
}

// From RGB pictures of 1024 x 1024 to maps in the host's memory, as callers have it.
void bench_session(const DevicePtr& cuda) {
  const ModelConfig c = vit_l_config();
  const RandomModel weights(c);
  const auto text = text_of(c);
  Session session(must(weights.load(cuda, Precision::kBf16)), 1024);
  const auto area = static_cast<size_t>(c.image_size * c.image_size);
  std::vector<float> maps(area * 96);
  const auto run = [&](int count) {
    std::vector<DetectJob> jobs;
    for (int i = 0; i < count; ++i) {
      jobs.push_back(picture_job(i, 1024, 1024, text, maps.data() + area * static_cast<size_t>(i)));
      jobs.back().blur_taps = 7;
    }
    std::vector<std::promise<Status>> done(static_cast<size_t>(count));
    const double t = seconds_of([&] {
      for (int i = 0; i < count; ++i) {
        auto* promise = &done[static_cast<size_t>(i)];
        must(session.submit(std::move(jobs[static_cast<size_t>(i)]),
                            [promise](Status status, Detection&&) { promise->set_value(status); }));
      }
      for (auto& promise : done) must(promise.get_future().get());
    });
    return t;
  };
  for (int count : {1, 96}) {
    std::vector<double> times;
    for (int i = 0; i < (count == 1 ? 30 : 5); ++i) times.push_back(run(count));
    std::nth_element(times.begin(), times.begin() + static_cast<std::ptrdiff_t>(times.size() / 2),
                     times.end());
    const double t = times[times.size() / 2];
    if (count == 1) {
      measure("session bf16, one picture, latency", 1000 * t, "ms");
    } else {
      measure("session bf16, pictures of 1024 x 1024", count / t, "images/s");
    }
  }
}

}  // namespace

int main(int argc, char** argv) {
  const std::string what = argc > 1 ? argv[1] : "";
  const CudaState& state = cuda_state(true);
  std::printf("{\"probe\": \"%s\", \"built\": \"%s\"}\n", quoted(state.probe.reason).c_str(),
              quoted(state.probe.built).c_str());
  for (int i = 0; i < state.probe.libraries; ++i) {
    const CudaLibraryInfo& l = state.probe.library[i];
    std::printf(
        "{\"library\": \"%s\", \"version\": \"%s\", \"path\": \"%s\", \"reason\": \"%s\"}\n",
        l.name, l.version, quoted(l.path).c_str(), quoted(l.reason).c_str());
  }
  const DevicePtr cuda = must(make_cuda_device(0));
  if (what == "ops") {
    check_ops(cuda, false);
  } else if (what == "attention") {
    for (int64_t tokens : {1, 63, 64, 65, 197, 577, 1370}) check_attention(cuda, tokens, 128);
    bench_attention(cuda);
  } else if (what == "tiny") {
    check_ops(cuda, true);
    check_model(cuda);
    check_session(cuda, true);
  } else if (what == "model") {
    check_model(cuda);
    check_session(cuda, false);
  } else if (what == "bench") {
    bench_products(cuda);
    bench_attention(cuda);
    bench_model(cuda);
    bench_session(cuda);
  } else {
    std::fprintf(stderr, "acd_gpu_check ops | attention | tiny | model | bench\n");
    return 2;
  }
  for (const std::string& line : cuda->choices())
    std::printf("{\"choice\": \"%s\"}\n", quoted(line).c_str());
  return g_failed ? 1 : 0;
}
