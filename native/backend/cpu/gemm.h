// oneDNN's matmul as a tile: one call computes rows x columns of a linear on the calling thread.
// The team of threads is ours; oneDNN never starts one.
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

// Weights of one linear, cut in column chunks, each in the layout that oneDNN chose for its
// extents.
struct PackedLinear {
  struct Chunk {
    int64_t n0;
    int64_t n;
    dnnl::memory::desc desc;
    dnnl::memory memory;
    const uint8_t* weights;  // inside the linear's one block
  };
  int64_t n;
  int64_t k;
  NumberType type;
  int64_t tile_rows;  // most rows of a tile
  std::vector<Chunk> chunks;
  AlignedBytes weights;  // of all chunks: one block is large enough for huge pages
  FloatBuffer bias;      // empty: none
  FloatBuffer scales;    // int8 alone: [3, n rounded up to panels], see Int8Tile
  size_t bytes() const;
};

class Gemm {
 public:
  struct Shape {
    int64_t rows, n, k, ldx, ldy;
    Activation act;
    bool accumulate;
    bool bias;
    NumberType x_type = NumberType::kF32;  // and of the weights
    NumberType y_type = NumberType::kF32;
    bool operator<(const Shape& o) const {
      return std::tie(rows, n, k, ldx, ldy, act, accumulate, bias, x_type, y_type) <
             std::tie(o.rows, o.n, o.k, o.ldx, o.ldy, o.act, o.accumulate, o.bias, o.x_type,
                      o.y_type);
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

  // Room for the chunks and their layout; pack_piece fills a part of one, on any thread.
  PackedLinear layout(const LinearWeights& weights) const;
  static int64_t pieces(const PackedLinear::Chunk& chunk);
  void pack_piece(const LinearWeights& weights, const PackedLinear::Chunk& chunk,
                  int64_t piece) const;
  // Compiles on first use and keeps it.
  std::shared_ptr<const Tile> tile(const Shape& shape, const PackedLinear::Chunk& chunk);
  // `scratch` holds tile.scratch_bytes.
  void run(const Tile& tile, const PackedLinear& weights, const PackedLinear::Chunk& chunk,
           const void* x, void* y, void* scratch) const;

 private:
  std::mutex mutex_;
  std::map<Shape, std::shared_ptr<const Tile>> tiles_;
};

// Row tiles of a linear: equal, at most 288 rows, a function of the row count alone.
struct RowTiles {
  RowTiles(int64_t rows, int64_t limit);
  int64_t count;
  int64_t height;
  int64_t begin(int64_t i) const { return i * height; }
  int64_t size(int64_t i) const { return i + 1 < count ? height : rows - begin(i); }
  int64_t rows;
};

}  // namespace acd
