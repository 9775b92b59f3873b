// Batches, the copy in bf16, and shapes beyond the registers' columns and ranks.
#include "ops/lora_blend/lora_blend_cuda.h"

#include "device_numbers.h"
#include "plain_f32.h"

using namespace acd;
using namespace acd::test;
using cuda::Number;

namespace {

struct Case {
  int64_t rows, width, rank, gap, batch;
  bool copy;
};

// Up to 1024 columns, up to 1536, more; ranks of 8, 16, 32, more; one value or four at a time.
const Case kCases[] = {{5, 64, 8, 4, 3, true},     {17, 66, 16, 0, 2, true},
                       {18, 1024, 32, 0, 1, true}, {3, 1280, 32, 8, 2, true},
                       {3, 1026, 20, 1, 1, true},  {3, 1600, 5, 0, 2, true},
                       {4, 72, 33, 4, 2, true},    {4, 72, 32, 4, 1, false}};

}  // namespace

TEST_CASE("lora_blend on CUDA is as exact as plain loops for batches, and copies what it wrote") {
  for (const Case& c : kCases) {
    CAPTURE(c.width);
    CAPTURE(c.rank);
    const Extent xs{c.rows, c.width, c.width + c.gap, c.batch, c.rows * (c.width + c.gap) + 8};
    const Extent ys{c.rows, c.rank, c.rank + 1, c.batch, c.rows * (c.rank + 1) + 3};
    const Floats from = noise(xs, 1, 2.0f), y = noise(ys, 2), up = noise(c.rank * c.width, 3);
    const Floats mix = noise(c.width, 4);
    Floats expected = from, plain = from;
    for (int64_t b = 0; b < c.batch; ++b) {
      LoraBlendParams p = {expected.data() + b * xs.item,
                           xs.ld,
                           y.data() + b * ys.item,
                           ys.ld,
                           up.data(),
                           mix.data(),
                           c.rows,
                           c.width,
                           c.rank};
      lora_blend_ref(p);
      p.x = plain.data() + b * xs.item;
      plain_lora_blend(p);
    }
    DeviceNumbers x(Number::kF32, from), copy(Number::kBf16, Floats(xs.cells()));
    const DeviceNumbers up_there(Number::kF32, up), mix_there(Number::kF32, mix);
    cuda::LoraBlendArgs a;
    a.of = {static_cast<float*>(x.data()),
            xs.ld,
            y.data(),
            ys.ld,
            static_cast<const float*>(up_there.data()),
            static_cast<const float*>(mix_there.data()),
            c.rows,
            c.width,
            c.rank};
    a.of.batch = c.batch;
    a.of.batch_x = a.batch_copy = xs.item;
    a.of.batch_y = ys.item;
    a.copy = c.copy ? copy.data() : nullptr;
    a.ld_copy = xs.ld;
    REQUIRE(cuda::lora_blend(nullptr, a) == 0);
    check_close("lora_blend batch", x.floats(), expected, plain);
    const Floats untouched(xs.cells());
    CHECK(same_bytes(copy.floats(), c.copy ? rounded(Number::kBf16, x.floats()) : untouched));
  }
}
