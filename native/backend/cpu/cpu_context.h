// What every *_cpu.cc gets: the team, how many threads of it, scratch memory, oneDNN.
#pragma once

#include <algorithm>
#include <cstdint>
#include <memory>

#include "backend/backend.h"
#include "backend/cpu/gemm.h"
#include "core/aligned.h"
#include "core/thread_team.h"

namespace acd {

class CpuContext {
 public:
  explicit CpuContext(int threads) : team_(ThreadTeam::shared()), threads_(threads) {}

  int threads() const { return threads_; }
  Gemm& gemm() { return gemm_; }

  template <typename Fn>
  void run(int64_t tiles, Fn&& fn) {
    team_->run(tiles, threads_, fn);
  }

  // Splits rows that do not influence each other; small work stays on the caller.
  template <typename Fn>
  void run_rows(int64_t rows, int64_t bytes_per_row, Fn&& fn) {
    const int64_t height =
        std::max<int64_t>(1, (int64_t{64} << 10) / std::max<int64_t>(1, bytes_per_row));
    team_->run((rows + height - 1) / height, threads_,
               [&](int64_t tile) { fn(tile * height, std::min(rows, (tile + 1) * height)); });
  }

  // Memory of the calling thread; valid until its next call. Per thread, not per context: several
  // models may use the team in turn, and small work runs on their own threads at the same time.
  static uint8_t* scratch(size_t bytes) {
    thread_local AlignedBytes memory;
    return grown(memory, bytes);
  }

  // The same for what all tiles of an op share, beside the scratch of each: once an op, by whoever
  // runs it.
  static float* shared_scratch(int64_t floats) {
    thread_local AlignedBytes memory;
    return reinterpret_cast<float*>(grown(memory, static_cast<size_t>(floats) * sizeof(float)));
  }

 private:
  static uint8_t* grown(AlignedBytes& memory, size_t bytes) {
    if (memory.bytes() < bytes) memory = AlignedBytes(bytes);
    return memory.data();
  }

  std::shared_ptr<ThreadTeam> team_;
  int threads_;
  Gemm gemm_;
};

// native/ops/<op>/<op>_cpu.cc
PackedLinear pack_linear_cpu(CpuContext& cpu, const LinearWeights& w);
void linear_cpu(CpuContext& cpu, const LinearParams& p);
void layer_norm_cpu(CpuContext& cpu, const LayerNormParams& p);
void attention_cpu(CpuContext& cpu, const AttentionParams& p);
void patchify_cpu(CpuContext& cpu, const PatchifyParams& p);
void assemble_tokens_cpu(CpuContext& cpu, const AssembleTokensParams& p);
void gather_tokens_cpu(CpuContext& cpu, const GatherTokensParams& p);
void conv_tokens_cpu(CpuContext& cpu, const ConvTokensParams& p);
void lora_blend_cpu(CpuContext& cpu, const LoraBlendParams& p);
void head_cpu(CpuContext& cpu, const HeadParams& p);
void gate_cpu(CpuContext& cpu, const GateParams& p);
void fuse_map_cpu(CpuContext& cpu, const FuseMapParams& p);
void quantize_cpu(CpuContext& cpu, const QuantizeParams& p);

}  // namespace acd
