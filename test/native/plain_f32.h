// The ops as plain float32 loops: what an implementation without care or vectors gets. Their error
// against the double references is the yardstick of op_test.h; nothing else uses them.
#pragma once

#include "ops/attention/attention.h"
#include "ops/conv_tokens/conv_tokens.h"
#include "ops/fuse_map/fuse_map.h"
#include "ops/head/head.h"
#include "ops/layer_norm/layer_norm.h"
#include "ops/linear/linear.h"
#include "ops/lora_blend/lora_blend.h"

namespace acd::test {

void plain_linear(const LinearParams& p, const LinearWeights& w);
void plain_layer_norm(const LayerNormParams& p);
void plain_attention(const AttentionParams& p);
void plain_conv_tokens(const ConvTokensParams& p);
void plain_lora_blend(const LoraBlendParams& p);
void plain_head(const HeadParams& p, const LinearWeights& w);
void plain_fuse_map(const FuseMapParams& p);

}  // namespace acd::test
