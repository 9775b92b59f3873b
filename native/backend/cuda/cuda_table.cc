#include "backend/cuda/cuda_table.h"

namespace acd {

BackendTable cuda_table() {
  BackendTable table = {};
  table.abi_version = kAbiVersion;
  table.struct_bytes = sizeof table;
  return table;
}

std::string missing_kernels(const BackendTable& table) {
  std::string missing;
  const auto need = [&](bool there, const char* op) {
    if (there) return;
    if (!missing.empty()) missing += ", ";
    missing += op;
  };
  need(table.linear, "linear");
  need(table.layer_norm, "layer_norm");
  need(table.attention, "attention");
  need(table.patchify, "patchify");
  need(table.assemble_tokens, "assemble_tokens");
  need(table.gather_tokens, "gather_tokens");
  need(table.conv_tokens, "conv_tokens");
  need(table.lora_blend, "lora_blend");
  need(table.head, "head");
  need(table.gate, "gate");
  need(table.fuse_map, "fuse_map");
  return missing;
}

}  // namespace acd
