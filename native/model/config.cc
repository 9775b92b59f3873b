#include "model/config.h"

namespace acd {
namespace {

Status bounded(const char* name, int64_t value, int64_t low, int64_t high) {
  if (value >= low && value <= high) return Status();
  return Status(Code::kCheckpointMismatch, "Expected integer between " + std::to_string(low) +
                                               " and " + std::to_string(high) + " for " + name +
                                               " but received " + std::to_string(value));
}

Status check_levels(const char* name, const std::vector<int64_t>& levels, int64_t layers,
                    int64_t groups) {
  bool good = static_cast<int64_t>(levels.size()) == groups;
  int64_t before = 0;
  for (int64_t level : levels) {
    good = good && level > before && level <= layers;
    before = level;
  }
  if (good) return Status();
  return Status(Code::kCheckpointMismatch, std::string("Expected ") + std::to_string(groups) +
                                               " ascending layer numbers up to " +
                                               std::to_string(layers) + " for " + name);
}

}  // namespace

double ModelConfig::flop_per_image() const {
  const double tokens = static_cast<double>(patches() + 1), d = static_cast<double>(vision_width);
  return 2 * tokens * static_cast<double>(vision_layers) * (12 * d * d + 2 * tokens * d);
}

Status check_config(const ModelConfig& c) {
  ACD_RETURN_IF_ERROR(bounded("patchSize", c.patch_size, 1, 256));
  ACD_RETURN_IF_ERROR(bounded("imageSize", c.image_size, c.patch_size, 4096));
  if (c.image_size % c.patch_size != 0) {
    return Status(Code::kCheckpointMismatch,
                  "Expected a multiple of the patch size " + std::to_string(c.patch_size) +
                      " for imageSize but received " + std::to_string(c.image_size));
  }
  ACD_RETURN_IF_ERROR(bounded("pretrainGrid", c.pretrain_grid, 1, 1024));
  ACD_RETURN_IF_ERROR(bounded("visionLayers", c.vision_layers, 1, 256));
  ACD_RETURN_IF_ERROR(bounded("textLayers", c.text_layers, 1, 256));
  ACD_RETURN_IF_ERROR(bounded("visionWidth", c.vision_width, 64, 16384));
  ACD_RETURN_IF_ERROR(bounded("textWidth", c.text_width, 64, 16384));
  if (c.vision_width % 64 != 0 || c.text_width % 64 != 0) {
    return Status(Code::kCheckpointMismatch,
                  "Expected widths that are multiples of the head width 64");
  }
  if (c.embed_dim != c.text_width) {
    return Status(Code::kCheckpointMismatch,
                  "Expected the adapter's width " + std::to_string(c.embed_dim) +
                      " to equal the text width " + std::to_string(c.text_width));
  }
  ACD_RETURN_IF_ERROR(bounded("vocabSize", c.vocab_size, 1, 1 << 24));
  ACD_RETURN_IF_ERROR(bounded("contextLength", c.context_length, 2, 4096));
  ACD_RETURN_IF_ERROR(bounded("groups", c.groups, 1, 64));
  ACD_RETURN_IF_ERROR(check_levels("visionLevels", c.vision_levels, c.vision_layers, c.groups));
  ACD_RETURN_IF_ERROR(check_levels("textLevels", c.text_levels, c.text_layers, c.groups));
  ACD_RETURN_IF_ERROR(bounded("loraRank", c.lora_rank, 1, 1024));
  ACD_RETURN_IF_ERROR(bounded("textLoraRank", c.text_lora_rank, 1, 1024));
  ACD_RETURN_IF_ERROR(bounded("convLoraRank", c.conv_lora_rank, 1, 1024));
  ACD_RETURN_IF_ERROR(bounded("convGroups", c.conv_groups, 1, c.lora_rank));
  if (c.lora_rank % c.conv_groups != 0 || c.conv_lora_rank % c.conv_groups != 0) {
    return Status(Code::kCheckpointMismatch, "Expected convGroups to divide both ranks");
  }
  ACD_RETURN_IF_ERROR(bounded("kernelSizes", static_cast<int64_t>(c.kernel_sizes.size()), 1, 16));
  for (int64_t k : c.kernel_sizes) {
    ACD_RETURN_IF_ERROR(bounded("kernelSizes", k, 1, 31));
    if (k % 2 == 0) return Status(Code::kCheckpointMismatch, "Expected odd kernel sizes");
  }
  return bounded("adapterHidden", c.adapter_hidden, 1, 65536);
}

}  // namespace acd
