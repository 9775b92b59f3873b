// CLIP's residual attention blocks, shared by both towers.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "backend/device.h"
#include "model/weight_reader.h"

namespace acd {

using Floats = DeviceArray<float>;

// f32 weights on the device.
Result<Floats> load_floats(const std::shared_ptr<Device>& device, WeightReader& reader,
                           const std::string& name, const std::vector<int64_t>& shape);

// `prefix`.weight [n, k] and, unless told otherwise, `prefix`.bias [n].
Result<Linear> load_linear(const std::shared_ptr<Device>& device, WeightReader& reader,
                           const std::string& weight, const std::string& bias, int64_t n,
                           int64_t k);

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
                         const std::string& prefix, int64_t width);

// Activations of one tower for a batch of `items` sequences of `tokens` tokens.
struct TowerActivations {
  Floats x;       // [items, tokens, width], the residual stream
  Floats norm;    // [items, tokens, width]
  Floats hidden;  // [items, tokens, 4 * width]: qkv and attention output, then the MLP's inside
};
Result<TowerActivations> make_activations(const std::shared_ptr<Device>& device, int64_t items,
                                          int64_t tokens, int64_t width);

// x += out_proj(attention(ln_1(x))); x += c_proj(act(c_fc(ln_2(x)))).
Status run_block(const Device& device, const Block& block, const TowerActivations& a, int64_t items,
                 int64_t tokens, int64_t width, bool causal, Activation act);

}  // namespace acd
