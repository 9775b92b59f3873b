// A whole model over the CUDA kernels, emulated: the table, the types between its ops, and what
// each precision costs.
#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <vector>

#include "backend/cpu/cpu_backend.h"
#include "emulated_cuda.h"
#include "model/fp16_range.h"
#include "op_test.h"
#include "tiny_model.h"

using namespace acd;
using namespace acd::test;

namespace {

struct Outcome {
  std::vector<float> map, features, text;
};

template <typename T>
T must(Result<T> result) {
  INFO((result.ok() ? "" : result.status().message()));
  REQUIRE(result.ok());
  return std::move(result.value());
}

Outcome run(const std::shared_ptr<Device>& device, Precision precision, int64_t width = 64) {
  const TinyModel weights(width);
  const ModelConfig& c = weights.config();
  const auto model = must(weights.load(device, precision));
  const auto stream = must(device->fork());
  auto ws = must(model->make_workspace(stream, 2));
  const acd::test::Floats images = noise(2 * 3 * c.image_size * c.image_size, 5, 2.0f);
  Exchange& exchange = ws.exchanges.front();
  for (int64_t i = 0; i < 2; ++i)
    REQUIRE(exchange.put_tensor(i, images.data() + i * 3 * c.image_size * c.image_size).ok());
  const acd::test::Floats text = noise(c.groups * c.embed_dim * 2, 7, 0.1f);
  std::vector<ImageResult> results;
  const std::vector<ImageRequest> requests(2, ImageRequest{text.data(), 7, 1});
  REQUIRE(model->compute(ws, exchange, requests, false, nullptr).ok());
  REQUIRE(exchange.fetch(requests, false, results).ok());
  Outcome out;
  for (const ImageResult& r : results) {
    out.map.insert(out.map.end(), r.map, r.map + c.image_size * c.image_size);
    out.features.insert(out.features.end(), r.det_features,
                        r.det_features + c.groups * c.embed_dim);
  }
  const std::vector<int32_t> tokens = {1, 2, 3, 4, 2, 0, 1, 5};
  REQUIRE(model->encode_text(stream, tokens, 2, 4, nullptr, out.text).ok());
  return out;
}

double largest_difference(const std::vector<float>& a, const std::vector<float>& b) {
  REQUIRE(a.size() == b.size());
  double worst = 0;
  for (size_t i = 0; i < a.size(); ++i) {
    const double difference = std::fabs(double{a[i]} - b[i]);
    worst = difference <= worst ? worst : difference;  // a NaN stays
  }
  return worst;
}

}  // namespace

TEST_CASE("a model over the emulated CUDA kernels gives the CPU's result in every precision") {
  if (!kCanEmulateCuda) return;
  const Outcome expected = run(must(make_cpu_device(1)), Precision::kFp32);
  const auto check = [&](Precision precision, double map, double features) {
    CAPTURE(precision_name(precision));
    const Outcome found = run(must(make_emulated_cuda_device(1)), precision);
    CHECK(largest_difference(found.map, expected.map) <= map);
    CHECK(largest_difference(found.features, expected.features) <= features);
    CHECK(largest_difference(found.text, expected.text) <= features);
  };
  check(Precision::kFp32, 1e-5, 1e-4);
  check(Precision::kBf16, 1e-2, 1e-1);
  // Eight times as fine: eleven significant bits in place of eight.
  check(Precision::kFp16, 1.25e-3, 1.25e-2);
  // Sixteen times as coarse as bf16, but in the products' inputs alone.
  check(Precision::kFp8, 5e-2, 5e-1);
}

TEST_CASE("a wide model, all of whose products are in fp8, gives nearly the CPU's result") {
  if (!kCanEmulateCuda) return;
  const Outcome expected = run(must(make_cpu_device(1)), Precision::kFp32, 512);
  const Outcome half = run(must(make_emulated_cuda_device(1)), Precision::kBf16, 512);
  const Outcome found = run(must(make_emulated_cuda_device(1)), Precision::kFp8, 512);
  CHECK(largest_difference(found.map, expected.map) <= 5e-2);
  CHECK(largest_difference(found.features, expected.features) <= 5e-1);
  CHECK(found.map != half.map);
}

TEST_CASE("fp16 refuses a checkpoint that could pass its largest number, and no other") {
  constexpr int64_t n = 3, k = 16;
  std::vector<float> gain(k, 1.0f), shift(k, 0.5f), weight(n * k, 2.0f), bias(n, 1.0f);
  const auto check = [&] {
    return check_fp16_range("c_fc", gain.data(), shift.data(), weight.data(), bias.data(), n, k);
  };
  CHECK(check().ok());
  // sqrt(16) * |W gain| + |W shift + bias|: 4 * 8 + 17.
  for (float& w : weight) w *= 1300;
  CHECK(check().ok());
  for (float& w : weight) w *= 1.05f;
  const Status status = check();
  CHECK(status.code() == Code::kUnsupported);
  CHECK(status.message().find("c_fc can give values up to 6.") != std::string::npos);
  CHECK(status.message().find("use bf16") != std::string::npos);
  for (float& w : weight) w = 1e-3f;
  gain[5] = 17000;
  CHECK(check().message().find("can be given values up to 6.8e+04") != std::string::npos);
  gain[5] = 1;
  weight[7] = 70000;
  CHECK(check_fp16_weights("out_proj", weight.data(), n, k).message().find("7e+04") !=
        std::string::npos);
}
