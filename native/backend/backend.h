// What a device is: a C table of functions with an ABI number. The wall between host and device.
//
// No C++ object, exception or allocation crosses it; every entry returns a code (acd::Code as int,
// 0 is fine) and last_error() tells the calling thread why. A null kernel means "this backend does
// not have it": the caller reports that (ERR_ACD_UNSUPPORTED) and never falls back silently.
//
// Memory: on a device pointers in params are device pointers; upload and download are the only
// crossings. On the CPU they are host memory and both are memcpy.
//
// Streams: `stream` orders work on a device; null is one that all callers share. A kernel has only
// begun when its call returns; an upload has read its source, a download has written its target,
// and synchronize waits for all of a stream. Memory belongs to the stream that it was asked for:
// others must not touch it before that one was waited for. A backend without streams (create_stream
// is null), as the CPU's, computes in the host's memory, and its calls are complete when they
// return: results are read where they lie, without a download.
//
// Graphs: between begin_graph and end_graph calls of a stream are written down, not run, and
// launch_graph runs them all again: the same pointers, the same shapes, no memory asked for,
// nothing uploaded or downloaded. What a graph holds must have run once before. Null where there
// are none.
//
// New entries go to the end; kAbiVersion rises when the meaning of an old one changes.
#pragma once

#include <cstddef>
#include <cstdint>

#include "core/precision.h"
#include "ops/assemble_tokens/assemble_tokens.h"
#include "ops/attention/attention.h"
#include "ops/conv_tokens/conv_tokens.h"
#include "ops/fuse_map/fuse_map.h"
#include "ops/gate/gate.h"
#include "ops/gather_tokens/gather_tokens.h"
#include "ops/head/head.h"
#include "ops/layer_norm/layer_norm.h"
#include "ops/linear/linear.h"
#include "ops/lora_blend/lora_blend.h"
#include "ops/patchify/patchify.h"
#include "ops/preprocess/preprocess.h"
#include "ops/quantize/quantize.h"

namespace acd {

constexpr uint32_t kAbiVersion = 5;

struct BackendTable {
  uint32_t abi_version;
  uint32_t struct_bytes;
  const char* name;  // "cpu", "cuda:0"
  void* self;

  void (*destroy)(void* self);
  const char* (*last_error)(void* self);

  int (*alloc)(void* self, void* stream, size_t bytes, void** out);
  void (*release)(void* self, void* stream, void* memory, size_t bytes);
  int (*upload)(void* self, void* stream, void* device, const void* host, size_t bytes);
  int (*download)(void* self, void* stream, void* host, const void* device, size_t bytes);
  int (*synchronize)(void* self, void* stream);

  // Packs host weights for this device; the source may be freed afterwards.
  int (*pack_linear)(void* self, const LinearWeights* weights, PackedLinear** out);
  void (*release_linear)(void* self, PackedLinear* packed);

  int (*linear)(void* self, void* stream, const LinearParams* p);
  int (*layer_norm)(void* self, void* stream, const LayerNormParams* p);
  int (*attention)(void* self, void* stream, const AttentionParams* p);
  int (*patchify)(void* self, void* stream, const PatchifyParams* p);
  int (*assemble_tokens)(void* self, void* stream, const AssembleTokensParams* p);
  int (*gather_tokens)(void* self, void* stream, const GatherTokensParams* p);
  int (*conv_tokens)(void* self, void* stream, const ConvTokensParams* p);
  int (*lora_blend)(void* self, void* stream, const LoraBlendParams* p);
  int (*head)(void* self, void* stream, const HeadParams* p);
  int (*gate)(void* self, void* stream, const GateParams* p);
  int (*fuse_map)(void* self, void* stream, const FuseMapParams* p);
  int (*quantize)(void* self, void* stream, const QuantizeParams* p);

  // Bytes that packed weights take on the device.
  size_t (*linear_bytes)(void* self, const PackedLinear* packed);

  int (*create_stream)(void* self, void** out);
  void (*destroy_stream)(void* self, void* stream);

  int (*begin_graph)(void* self, void* stream);
  int (*end_graph)(void* self, void* stream, void** graph);
  int (*launch_graph)(void* self, void* stream, void* graph);
  void (*release_graph)(void* self, void* graph);

  // Whether models of this precision can run: 0, or kUnsupported with the reason as last_error.
  // Null: fp32 alone.
  int (*check_precision)(void* self, Precision precision);

  // What is asked of `stream` from now on begins after all that `other` was asked so far. Null
  // where there are no streams.
  int (*wait_for)(void* self, void* stream, void* other);
  // Null: pictures are prepared on the host.
  int (*preprocess)(void* self, void* stream, const PreprocessParams* p);

  // What the backend has chosen by measuring, one line each, as much as `bytes` hold with the zero
  // at the end. Null: it chooses nothing.
  void (*describe_choices)(void* self, char* text, size_t bytes);

  // Whether `linear` rounds f32 rows to bf16 (`round_x`) and `head` takes weights in bf16.
  bool rounds_to_bf16;
};

}  // namespace acd
