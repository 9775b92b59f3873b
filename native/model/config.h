// Every size of one model, read off its checkpoint; the letters of docs/MODEL in names' comments.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "core/precision.h"
#include "core/status.h"

namespace acd {

struct ModelConfig {
  int64_t image_size = 0;     // S
  int64_t patch_size = 0;     // p
  int64_t pretrain_grid = 0;  // side of the stored positional grid
  int64_t vision_width = 0;   // D
  int64_t vision_layers = 0;
  int64_t text_width = 0;  // W, equal to E
  int64_t text_layers = 0;
  int64_t vocab_size = 0;
  int64_t context_length = 0;
  int64_t embed_dim = 0;               // E
  int64_t groups = 0;                  // G
  std::vector<int64_t> vision_levels;  // 1-based, ascending: a group ends after each
  std::vector<int64_t> text_levels;
  int64_t lora_rank = 0;
  double lora_alpha = 2;
  int64_t text_lora_rank = 0;
  double text_lora_alpha = 2;
  int64_t conv_lora_rank = 0;
  double conv_lora_alpha = 2;
  int64_t conv_groups = 1;
  std::vector<int64_t> kernel_sizes;
  int64_t adapter_hidden = 0;  // H
  bool quick_gelu = false;
  Precision precision = Precision::kFp32;
  std::optional<uint32_t> token_embedding_seed;  // the token table is computed, not stored

  int64_t grid() const { return image_size / patch_size; }
  int64_t patches() const { return grid() * grid(); }  // N
  int64_t vision_heads() const { return vision_width / 64; }
  int64_t text_heads() const { return text_width / 64; }
  // 2 x MAC of one image, backbone only.
  double flop_per_image() const;
};

// Contradictions and sizes out of bounds; TypeScript has checked already, this is the second door.
Status check_config(const ModelConfig& c);

}  // namespace acd
