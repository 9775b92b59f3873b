// bf16 products on the CPU: packing, and tiles on the team's threads.
#pragma once

#include <memory>

#include "backend/cpu/cpu_context.h"

namespace acd {

PackedLinear pack_bf16(CpuContext& cpu, const LinearWeights& w);

void linear_bf16(CpuContext& cpu, const LinearParams& p);

// All columns of some rows, on the calling thread. Made before a parallel region: oneDNN compiles
// for every count of rows.
class Bf16Rows {
 public:
  // What `p` says of x, y, rows and batches is left aside. A call has `most` rows, or `last`.
  Bf16Rows(CpuContext& cpu, const LinearParams& p, int64_t most, int64_t last);

  size_t scratch_bytes() const { return rounded_bytes_ + onednn_bytes_; }

  // x [rows, k] with row stride ldx (f32 with round_x), y [rows, n] with ldy. `scratch` holds
  // scratch_bytes(), aligned to 64.
  void operator()(const void* x, int64_t rows, void* y, uint8_t* scratch) const;

 private:
  Gemm& gemm_;
  LinearParams p_;
  int64_t last_;
  size_t rounded_bytes_ = 0, onednn_bytes_ = 0;
  std::shared_ptr<const Gemm::Tile> most_rows_, last_rows_;  // null: our own kernel
};

}  // namespace acd
