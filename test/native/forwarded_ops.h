// A table whose ops all go through one template: for the tests' devices, which stand before
// another.
#pragma once

#include "backend/device.h"

namespace acd::test {

// Forward<Params, &Device::op>::call is the table's entry for the op.
template <template <typename Params, Status (Device::*Op)(const Params&) const> class Forward>
void forward_ops(BackendTable& t) {
  t.linear = Forward<LinearParams, &Device::linear>::call;
  t.layer_norm = Forward<LayerNormParams, &Device::layer_norm>::call;
  t.attention = Forward<AttentionParams, &Device::attention>::call;
  t.patchify = Forward<PatchifyParams, &Device::patchify>::call;
  t.assemble_tokens = Forward<AssembleTokensParams, &Device::assemble_tokens>::call;
  t.gather_tokens = Forward<GatherTokensParams, &Device::gather_tokens>::call;
  t.conv_tokens = Forward<ConvTokensParams, &Device::conv_tokens>::call;
  t.lora_blend = Forward<LoraBlendParams, &Device::lora_blend>::call;
  t.head = Forward<HeadParams, &Device::head>::call;
  t.gate = Forward<GateParams, &Device::gate>::call;
  t.fuse_map = Forward<FuseMapParams, &Device::fuse_map>::call;
  t.quantize = Forward<QuantizeParams, &Device::quantize>::call;
}

}  // namespace acd::test
