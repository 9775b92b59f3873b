// CLIP's residual attention blocks, shared by both towers.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "backend/device.h"
#include "model/int8_policy.h"
#include "model/weight_reader.h"

namespace acd {

using Floats = DeviceArray<float>;
using Bytes = DeviceArray<uint8_t>;

// f32 weights on the device.
Result<Floats> load_floats(const std::shared_ptr<Device>& device, WeightReader& reader,
                           const std::string& name, const std::vector<int64_t>& shape);

// What attention and every product that is not in 8 bits read at a precision: at int8 and fp8 the
// best that the device has. The residual stream and the sums of a LayerNorm are f32 at every one.
NumberType tower_type(const Device& device, Precision precision);

// `prefix`.weight [n, k] and, unless told otherwise, `prefix`.bias [n].
Result<Linear> load_linear(const std::shared_ptr<Device>& device, WeightReader& reader,
                           const std::string& weight, const std::string& bias, int64_t n, int64_t k,
                           NumberType type = NumberType::kF32);

struct NormWeights {
  Floats weight;
  Floats bias;
};
Result<NormWeights> load_norm(const std::shared_ptr<Device>& device, WeightReader& reader,
                              const std::string& prefix, int64_t width);

struct Block {
  NormWeights ln_1, ln_2;
  Linear qkv, out_proj, c_fc, c_proj;
};
Result<Block> load_block(const std::shared_ptr<Device>& device, WeightReader& reader,
                         const std::string& prefix, int64_t width, const BlockTypes& types);

// Activations of one tower for a batch of `items` sequences of `tokens` tokens. `type` is that of
// the inputs of attention and of every product that is not in 8 bits; the residual stream is always
// f32.
struct TowerActivations {
  NumberType type;
  Floats x;    // [items, tokens, width], the residual stream
  Bytes norm;  // [items, tokens, width], rows `norm_stride` apart
  // [items, tokens, 4 * width], rows `hidden_stride` apart: the MLP's inside; before that qkv and
  // attention's output, both dense.
  Bytes hidden;
  int64_t norm_stride, hidden_stride;  // elements
  // Where a linear is in 8 bits, the input of the next one: [items, tokens, width or 4 * width].
  Bytes codes;
  DeviceArray<RowScale> code_rows;  // [items, tokens], of int8
  Floats code_scales;               // the same, of fp8
};
Result<TowerActivations> make_activations(const std::shared_ptr<Device>& device, int64_t items,
                                          int64_t tokens, int64_t width, NumberType type,
                                          const BlockTypes& products);

// x += out_proj(attention(ln_1(x))); x += c_proj(act(c_fc(ln_2(x)))).
Status run_block(const Device& device, const Block& block, const TowerActivations& a, int64_t items,
                 int64_t tokens, int64_t width, bool causal, Activation act);

}  // namespace acd
