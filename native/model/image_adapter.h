// One group of ACD-CLIP's image adapter: Conv-LoRA with its blend, the two heads, the gate.
#pragma once

#include "model/config.h"
#include "model/transformer.h"

namespace acd {

struct ImageAdapterGroup {
  Linear down;                 // all A_j: [ranks of all kernels, D]
  std::vector<Floats> conv_a;  // per kernel [c, r / groups, k, k]
  std::vector<Floats> conv_b;  // per kernel [r, c / groups, k, k], times conv_alpha / c
  Floats up;                   // [r * kernels, D]: (F_j B_j)^T times alpha / sqrt(r)
  Floats mix;                  // [D]
  Linear heads_in;             // seg and det fc.0 stacked: [2H, D]; f32 or bf16, as seg_out is
  Linear seg_out, det_out;     // fc.2: [E, H]
  NormWeights seg_norm, det_norm;
  Floats gate_w1, gate_b1, gate_w2, gate_b2;
};

Result<ImageAdapterGroup> load_image_adapter(const std::shared_ptr<Device>& device,
                                             WeightReader& reader, const ModelConfig& c,
                                             int64_t group, NumberType heads);

// Scratch of the adapter for a batch.
struct AdapterActivations {
  Floats z;    // [items, N, r * kernels]
  Floats mid;  // [items, N, c]
  Floats y;    // [items, N, r * kernels]
  Floats h;    // [items, N, 2H]
};
Result<AdapterActivations> make_adapter_activations(const std::shared_ptr<Device>& device,
                                                    const ModelConfig& c, int64_t items);

// Conv-LoRA and blend on the patch tokens of x [items, T, D]; the class token is left alone.
Status run_conv_lora(const Device& device, const ModelConfig& c, const ImageAdapterGroup& w,
                     const AdapterActivations& a, float* x, int64_t items);

// Where the heads of one group write for the first item; item i's lie i times G such blocks behind.
struct HeadOutputs {
  float* seg_mean;     // [E]
  float* det_mean;     // [E]
  float* dots;         // [N, 2G]
  float* seg_vectors;  // [N, E] or null
};

// Both heads on the patch tokens of x; text [items, 2G, E].
Status run_heads(const Device& device, const ModelConfig& c, const ImageAdapterGroup& w,
                 const AdapterActivations& a, const float* x, int64_t items, const float* text,
                 const HeadOutputs& out);

}  // namespace acd
