// oneDNN's matmul as a tile: one call computes some rows of a linear in bf16 on the calling thread.
// For processors whose AMX it uses (isa.h, bf16_by_onednn). The team of threads is ours; oneDNN
// never starts one.
#pragma once

#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <tuple>
#include <vector>

#include "backend/cpu/dnnl_compat.h"
#include "core/aligned.h"
#include "ops/linear/linear.h"

namespace acd {

// Weights of one linear, in the layout that their type's products read: see
// ops/linear/linear_{f32,vnni,bf16}_isa.h; or, in bf16, the layout that oneDNN chose.
struct PackedLinear {
  int64_t n;
  int64_t k;
  NumberType type;
  AlignedBytes weights;     // one block is large enough for huge pages
  FloatBuffer bias;         // empty: none, or among the scales
  FloatBuffer scales;       // int8 alone: [3, n rounded up to panels], see Int8Tile
  dnnl::memory::desc desc;  // oneDNN's alone, as is what follows
  dnnl::memory memory;      // the weights, as it is told of them
  size_t bytes() const;
};

class Gemm {
 public:
  struct Shape {
    int64_t rows, n, k, ldx, ldy;
    Activation act;
    bool accumulate;
    bool bias;
    NumberType y_type = NumberType::kBf16;  // or kF32
    bool operator<(const Shape& o) const {
      return std::tie(rows, n, k, ldx, ldy, act, accumulate, bias, y_type) <
             std::tie(o.rows, o.n, o.k, o.ldx, o.ldy, o.act, o.accumulate, o.bias, o.y_type);
    }
  };

  // A compiled tile. Immutable; any number of threads may run it at once.
  struct Tile {
    uint64_t id;  // of the process, never given again
    dnnl::matmul primitive;
    dnnl::memory::desc src, dst, bias, scratchpad;
    size_t scratch_bytes;
    std::string implementation;  // oneDNN's name for it
  };

  // Most rows of a tile: oneDNN's quickest code takes dense rows alone, so a tile spans all
  // columns; it is cut into more of them to keep many threads busy, and loses nothing by it.
  static constexpr int64_t kTileRows = 72;

  // Room for bf16 weights and their layout; pack_piece fills a part, on any thread.
  PackedLinear layout(const LinearWeights& weights) const;
  static int64_t pieces(const PackedLinear& packed);
  void pack_piece(const LinearWeights& weights, const PackedLinear& packed, int64_t piece) const;
  // Compiles on first use and keeps it.
  std::shared_ptr<const Tile> tile(const Shape& shape, const PackedLinear& packed);
  // `scratch` holds tile.scratch_bytes.
  void run(const Tile& tile, const PackedLinear& weights, const void* x, void* y,
           void* scratch) const;

 private:
  std::mutex mutex_;
  std::map<Shape, std::shared_ptr<const Tile>> tiles_;
};

// Row tiles of a linear: equal, at most `limit` rows, a function of the row count alone.
struct RowTiles {
  RowTiles(int64_t rows, int64_t limit);
  int64_t count;
  int64_t height;
  int64_t begin(int64_t i) const { return i * height; }
  int64_t size(int64_t i) const { return i + 1 < count ? height : rows - begin(i); }
  int64_t rows;
};

}  // namespace acd
