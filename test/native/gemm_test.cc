// The products of the model must meet oneDNN's tuned code: its fallback is right and 20 times
// slower.
#include "backend/cpu/gemm.h"

#include <doctest/doctest.h>

#include <vector>

#include "backend/cpu/isa.h"

namespace acd {
namespace {

struct Product {
  int64_t rows, n, k;
};

TEST_CASE("no product of a model falls back to oneDNN's reference code") {
  if (current_isa() == Isa::kBaseline) return;  // oneDNN has little else there
  Gemm gemm;
  // ViT-L/14 and its adapter, its text tower, and the tiny models of the tests; rows dense and as
  // part of wider ones.
  for (const Product& p : {Product{274, 3072, 1024},
                           {274, 1024, 4096},
                           {274, 32, 1024},
                           {128, 768, 256},
                           {192, 2304, 768},
                           {192, 16, 768},
                           {37, 384, 128},
                           {37, 128, 128},
                           {36, 128, 32},
                           {37, 64, 128}}) {
    const std::vector<float> weights(static_cast<size_t>(p.n * p.k), 0.5f);
    const std::vector<float> bias(static_cast<size_t>(p.n), 0.0f);
    const PackedLinear packed = gemm.pack({weights.data(), bias.data(), p.n, p.k});
    for (const PackedLinear::Chunk& chunk : packed.chunks) {
      for (Activation act :
           {Activation::kNone, Activation::kGelu, Activation::kQuickGelu, Activation::kLeakyRelu}) {
        for (int64_t wider : {1, 2}) {
          const auto tile =
              gemm.tile({p.rows, chunk.n, p.k, wider * p.k, wider * p.n, act, false, true}, chunk);
          CAPTURE(p.n);
          CAPTURE(p.k);
          CAPTURE(wider);
          CHECK(tile->implementation.find("ref") == std::string::npos);
        }
      }
    }
  }
}

}  // namespace
}  // namespace acd
