// The fused adapter against the chain of ops that it replaces.
#include "ops/conv_tokens/conv_lora_cuda.h"

#include "device_numbers.h"
#include "emulated_cuda.h"
#include "ops/conv_tokens/conv_tokens.h"
#include "ops/lora_blend/lora_blend.h"
#include "plain_f32.h"

using namespace acd;
using namespace acd::test;
using cuda::Number;

namespace {

struct Case {
  int64_t grid, rank, conv_rank, groups, width;
  std::vector<int> kernels;
  int64_t batch = 1;
  int64_t gap = 0;
  bool copy = false;
};

const Case kCases[] = {{1, 1, 1, 1, 3, {3}},
                       {2, 4, 8, 1, 64, {3, 5}, 2, 4, true},
                       {5, 3, 5, 1, 65, {5, 1}, 1, 1, true},
                       {7, 16, 8, 1, 256, {3, 5}, 1, 0, true},
                       {9, 16, 8, 1, 130, {3, 5}, 2},
                       {6, 8, 8, 8, 68, {3, 5}, 1, 4},
                       {6, 12, 4, 4, 68, {7}, 1, 0},
                       {37, 16, 8, 1, 32, {3, 5}, 1, 0, true},
                       {4, 8, 3, 1, 1024, {3, 5, 7}, 1, 8, true}};

struct Problem {
  explicit Problem(const Case& c)
      : c(c),
        tokens(c.grid * c.grid),
        ranks(c.rank * static_cast<int64_t>(c.kernels.size())),
        xs{tokens, c.width, c.width + c.gap, c.batch, tokens * (c.width + c.gap) + 8},
        z(noise(c.batch * tokens * ranks, 1)),
        x(noise(xs, 2, 2.0f)),
        up(noise(ranks * c.width, 3)),
        mix(noise(c.width, 4)) {
    for (size_t j = 0; j < c.kernels.size(); ++j) {
      const int64_t taps = int64_t{c.kernels[j]} * c.kernels[j];
      const auto seed = static_cast<unsigned>(10 + 2 * j);
      conv_a.push_back(noise(c.conv_rank * c.rank / c.groups * taps, seed));
      conv_b.push_back(noise(c.rank * c.conv_rank / c.groups * taps, seed + 1));
    }
  }
  Case c;
  int64_t tokens, ranks;
  Extent xs;
  Floats z, x, up, mix;
  std::vector<Floats> conv_a, conv_b;
};

// The chain with the given convolution and blend.
template <typename Convolve, typename Blend>
Floats chained(const Problem& p, Convolve convolve, Blend blend) {
  Floats out = p.x;
  Floats mid(p.c.batch * p.tokens * p.c.conv_rank), y(p.c.batch * p.tokens * p.ranks);
  for (size_t j = 0; j < p.c.kernels.size(); ++j) {
    const int64_t column = static_cast<int64_t>(j) * p.c.rank, k = p.c.kernels[j];
    const int64_t item = p.tokens * p.ranks, mid_item = p.tokens * p.c.conv_rank;
    convolve(ConvTokensParams{p.z.data() + column, p.ranks, item, p.conv_a[j].data(), mid.data(),
                              p.c.conv_rank, mid_item, p.c.batch, p.c.grid, p.c.rank, p.c.conv_rank,
                              k, p.c.groups});
    convolve(ConvTokensParams{mid.data(), p.c.conv_rank, mid_item, p.conv_b[j].data(),
                              y.data() + column, p.ranks, item, p.c.batch, p.c.grid, p.c.conv_rank,
                              p.c.rank, k, p.c.groups});
  }
  for (int64_t b = 0; b < p.c.batch; ++b) {
    blend(LoraBlendParams{out.data() + b * p.xs.item, p.xs.ld, y.data() + b * p.tokens * p.ranks,
                          p.ranks, p.up.data(), p.mix.data(), p.tokens, p.c.width, p.ranks});
  }
  return out;
}

struct Output {
  Floats x, copy;
};

Output run(const Problem& p, int order, size_t shared_bytes = 227 * 1024) {
  const DeviceNumbers z(Number::kF32, p.z), up(Number::kF32, p.up), mix(Number::kF32, p.mix);
  DeviceNumbers x(Number::kF32, p.x), copy(Number::kBf16, Floats(p.xs.cells()));
  cuda::ConvLoraArgs a = {};
  a.z = static_cast<const float*>(z.data());
  a.batch_z = p.tokens * p.ranks;
  a.x = static_cast<float*>(x.data());
  a.ldx = a.ld_copy = p.xs.ld;
  a.batch_x = a.batch_copy = p.xs.item;
  a.copy = p.c.copy ? copy.data() : nullptr;
  for (size_t j = 0; j < p.c.kernels.size(); ++j) {
    a.conv_a[j] = p.conv_a[j].data();
    a.conv_b[j] = p.conv_b[j].data();
    a.kernel_size[j] = p.c.kernels[j];
  }
  a.kernels = static_cast<int>(p.c.kernels.size());
  a.up = static_cast<const float*>(up.data());
  a.mix = static_cast<const float*>(mix.data());
  a.grid = p.c.grid;
  a.rank = p.c.rank;
  a.conv_rank = p.c.conv_rank;
  a.groups = p.c.groups;
  a.width = p.c.width;
  a.batch = p.c.batch;
  set_thread_order(order);
  REQUIRE(cuda::conv_lora_fits(a, shared_bytes));
  REQUIRE(cuda::conv_lora(nullptr, a, shared_bytes) == 0);
  return {x.floats(), copy.floats()};
}

}  // namespace

TEST_CASE("the fused adapter is as exact as plain loops of the ops that it replaces") {
  for (const Case& c : kCases) {
    CAPTURE(c.grid);
    CAPTURE(c.rank);
    CAPTURE(c.width);
    const Problem p(c);
    const Floats expected = chained(p, conv_tokens_ref, lora_blend_ref);
    const Floats plain = chained(p, plain_conv_tokens, plain_lora_blend);
    const Output out = run(p, 1);
    check_close("conv_lora", out.x, expected, plain);
    if (c.copy) CHECK(same_bytes(out.copy, rounded(Number::kBf16, out.x)));
  }
}

TEST_CASE("the fused adapter gives the same bytes in every order and with little shared memory") {
  for (const Case& c : {kCases[1], kCases[3]}) {
    const Problem p(c);
    const Floats forward = run(p, 1).x;
    for (int order : {2, 3, 8}) CHECK(same_bytes(run(p, order).x, forward));
    CHECK(same_bytes(run(p, 1, 48 * 1024).x, forward));
  }
}

TEST_CASE("the fused adapter says which shapes it does not take") {
  cuda::ConvLoraArgs a = {};
  a.kernels = 2;
  a.kernel_size[0] = 3;
  a.kernel_size[1] = 5;
  a.rank = 16;
  a.conv_rank = 8;
  a.groups = a.batch = 1;
  a.grid = 37;
  a.width = 1024;
  CHECK(cuda::conv_lora_fits(a, 99 * 1024));
  CHECK_FALSE(cuda::conv_lora_fits(a, 16 * 1024));
  a.rank = 17;
  CHECK_FALSE(cuda::conv_lora_fits(a, 227 * 1024));
  a.rank = 16;
  a.width = 1025;
  CHECK_FALSE(cuda::conv_lora_fits(a, 227 * 1024));
}
