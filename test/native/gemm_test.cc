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

void check_tiles(Gemm& gemm, const Product& p, NumberType type, NumberType y_type) {
  const std::vector<float> weights(static_cast<size_t>(p.n * p.k), 0.5f);
  const std::vector<float> bias(static_cast<size_t>(p.n), 0.0f);
  const PackedLinear packed = gemm.layout({weights.data(), bias.data(), p.n, p.k, type});
  for (const PackedLinear::Chunk& chunk : packed.chunks) {
    for (Activation act :
         {Activation::kNone, Activation::kGelu, Activation::kQuickGelu, Activation::kLeakyRelu}) {
      // Rows dense and, in f32, as part of wider ones.
      for (int64_t wider = 1; wider <= (type == NumberType::kF32 ? 2 : 1); ++wider) {
        const bool residual = y_type != type && act == Activation::kNone;
        const auto tile = gemm.tile({std::min(p.rows, packed.tile_rows), chunk.n, p.k, wider * p.k,
                                     wider * p.n, act, residual, true, type, y_type},
                                    chunk);
        CAPTURE(p.n);
        CAPTURE(p.k);
        CAPTURE(wider);
        CAPTURE(tile->implementation);
        CHECK(tile->implementation.find("ref") == std::string::npos);
      }
    }
  }
}

TEST_CASE("no product of a model falls back to oneDNN's reference code") {
  if (current_isa() == Isa::kBaseline) return;  // oneDNN has little else there
  Gemm gemm;
  for (const Product& p : kProducts) {
    check_tiles(gemm, p, NumberType::kF32, NumberType::kF32);
    if (!has_bf16()) continue;
    check_tiles(gemm, p, NumberType::kBf16, NumberType::kBf16);
    check_tiles(gemm, p, NumberType::kBf16, NumberType::kF32);
  }
}

}  // namespace
}  // namespace acd
