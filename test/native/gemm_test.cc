// The products of the model must meet oneDNN's tuned code: its fallback is right and 20 times
// slower.
#include "backend/cpu/gemm.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <vector>

#include "backend/cpu/isa.h"

namespace acd {
namespace {

struct Product {
  int64_t rows, n, k;
};

// ViT-L/14 and its adapter, its text tower, and the tiny models of the tests.
const Product kProducts[] = {{274, 3072, 1024}, {274, 1024, 4096}, {274, 32, 1024}, {128, 768, 256},
                             {192, 2304, 768},  {192, 16, 768},    {37, 384, 128},  {37, 128, 128},
                             {36, 128, 32},     {37, 64, 128}};

void check_tiles(Gemm& gemm, const Product& p, NumberType y_type) {
  const std::vector<float> weights(static_cast<size_t>(p.n * p.k), 0.5f);
  const std::vector<float> bias(static_cast<size_t>(p.n), 0.0f);
  const PackedLinear packed =
      gemm.layout({weights.data(), bias.data(), p.n, p.k, NumberType::kBf16});
  for (Activation act :
       {Activation::kNone, Activation::kGelu, Activation::kQuickGelu, Activation::kLeakyRelu}) {
    const bool residual = y_type == NumberType::kF32 && act == Activation::kNone;
    const auto tile = gemm.tile(
        {std::min(p.rows, Gemm::kTileRows), p.n, p.k, p.k, p.n, act, residual, true, y_type},
        packed);
    CAPTURE(p.n);
    CAPTURE(p.k);
    CAPTURE(tile->implementation);
    CHECK(tile->implementation.find("ref") == std::string::npos);
  }
}

TEST_CASE("no bf16 product of a model falls back to oneDNN's reference code") {
  if (!has_bf16()) return;
  Gemm gemm;
  for (const Product& p : kProducts) {
    check_tiles(gemm, p, NumberType::kBf16);
    check_tiles(gemm, p, NumberType::kF32);
  }
}

}  // namespace
}  // namespace acd
