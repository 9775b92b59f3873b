#include "backend/cpu/gemm.h"

#include <omp.h>

#include <algorithm>

namespace acd {
namespace {

constexpr int64_t kChunkColumns = 256;
constexpr int64_t kTileRows = 288;
constexpr int64_t kLooseStride = 16;
constexpr size_t kLineBytes = 64;
using F32 = dnnl::memory::data_type;

// oneDNN asks OpenMP how many threads it may use; here the answer is one.
class OneOmpThread {
 public:
  OneOmpThread() : before_(omp_get_max_threads()) {
    if (before_ != 1) omp_set_num_threads(1);
  }
  ~OneOmpThread() {
    if (before_ != 1) omp_set_num_threads(before_);
  }

 private:
  int before_;
};

dnnl::memory::desc rows_desc(int64_t rows, int64_t columns, int64_t stride) {
  return dnnl::memory::desc({rows, columns}, F32::f32, dnnl::memory::dims{stride, 1});
}

dnnl::primitive_attr attributes(Activation act, bool accumulate) {
  dnnl::post_ops ops;
  if (accumulate) ops.append_sum(1.0f);
  switch (act) {
    case Activation::kNone:
      break;
    case Activation::kGelu:
      append_eltwise(ops, dnnl::algorithm::eltwise_gelu_erf, 0.0f);
      break;
    case Activation::kQuickGelu:
      append_eltwise(ops, dnnl::algorithm::eltwise_swish, 1.702f);
      break;
    case Activation::kLeakyRelu:
      append_eltwise(ops, dnnl::algorithm::eltwise_relu, 0.01f);
      break;
  }
  dnnl::primitive_attr attr;
  attr.set_post_ops(ops);
  attr.set_scratchpad_mode(dnnl::scratchpad_mode::user);
  return attr;
}

}  // namespace

RowTiles::RowTiles(int64_t rows) : rows(rows) {
  count = (rows + kTileRows - 1) / kTileRows;
  height = count ? (rows + count - 1) / count : 0;
}

size_t PackedLinear::bytes() const { return weights.bytes() + bias.bytes(); }

Gemm::Gemm() : engine_(dnnl::engine::kind::cpu, 0) {}

PackedLinear Gemm::pack(const LinearWeights& w) const {
  OneOmpThread serial;
  dnnl::stream stream(engine_);
  PackedLinear packed;
  packed.n = w.n;
  packed.k = w.k;
  if (w.bias) {
    packed.bias = FloatBuffer(static_cast<size_t>(w.n));
    std::copy(w.bias, w.bias + w.n, packed.bias.data());
  }
  size_t bytes = 0;
  std::vector<size_t> offsets;
  for (int64_t n0 = 0; n0 < w.n; n0 += kChunkColumns) {
    PackedLinear::Chunk chunk{n0, std::min(kChunkColumns, w.n - n0), {}, nullptr};
    const dnnl::memory::desc any({w.k, chunk.n}, F32::f32, dnnl::memory::format_tag::any);
    // The layout must serve rows of any stride: asked about dense rows alone, oneDNN 2.6 picks one
    // for which strided rows only have its reference code, 20 times slower.
    chunk.desc =
        make_matmul(engine_, rows_desc(kTileRows, w.k, w.k + kLooseStride), any,
                    dnnl::memory::desc(), rows_desc(kTileRows, chunk.n, chunk.n + kLooseStride),
                    dnnl::primitive_attr())
            .weights_desc();
    offsets.push_back(bytes);
    bytes += (chunk.desc.get_size() + kLineBytes - 1) / kLineBytes * kLineBytes;
    packed.chunks.push_back(std::move(chunk));
  }
  packed.weights = AlignedBytes(bytes);
  for (size_t i = 0; i < offsets.size(); ++i) {
    PackedLinear::Chunk& chunk = packed.chunks[i];
    uint8_t* to = packed.weights.data() + offsets[i];
    chunk.weights = to;
    const dnnl::memory::desc plain({w.k, chunk.n}, F32::f32, dnnl::memory::dims{1, w.k});
    dnnl::memory src(plain, engine_, const_cast<float*>(w.weight + chunk.n0 * w.k));
    dnnl::memory dst(chunk.desc, engine_, to);
    dnnl::reorder(src, dst).execute(stream, src, dst);
    stream.wait();
  }
  return packed;
}

std::shared_ptr<const Gemm::Tile> Gemm::tile(const Shape& shape, const PackedLinear::Chunk& chunk) {
  std::lock_guard<std::mutex> lock(mutex_);
  auto found = tiles_.find(shape);
  if (found != tiles_.end()) return found->second;
  OneOmpThread serial;
  const auto bias = shape.bias ? rows_desc(1, shape.n, shape.n) : dnnl::memory::desc();
  const auto desc = make_matmul(engine_, rows_desc(shape.rows, shape.k, shape.ldx), chunk.desc,
                                bias, rows_desc(shape.rows, shape.n, shape.ldy),
                                attributes(shape.act, shape.accumulate));
  auto tile = std::make_shared<Tile>();
  tile->primitive = dnnl::matmul(desc);
  tile->src = desc.src_desc();
  tile->dst = desc.dst_desc();
  tile->bias = bias;
  tile->scratchpad = desc.scratchpad_desc();
  tile->scratch_bytes = desc.scratchpad_desc().get_size();
  tile->implementation = desc.impl_info_str();
  return tiles_[shape] = tile;
}

void Gemm::run(const Tile& tile, const PackedLinear& weights, const PackedLinear::Chunk& chunk,
               const float* x, float* y, void* scratch) const {
  OneOmpThread serial;
  dnnl::stream stream(engine_);
  std::unordered_map<int, dnnl::memory> args = {
      {DNNL_ARG_SRC, dnnl::memory(tile.src, engine_, const_cast<float*>(x))},
      {DNNL_ARG_WEIGHTS, dnnl::memory(chunk.desc, engine_, const_cast<uint8_t*>(chunk.weights))},
      {DNNL_ARG_DST, dnnl::memory(tile.dst, engine_, y)},
      {DNNL_ARG_SCRATCHPAD, dnnl::memory(tile.scratchpad, engine_, scratch)}};
  if (!tile.bias.is_zero()) {
    args.emplace(DNNL_ARG_BIAS, dnnl::memory(tile.bias, engine_,
                                             const_cast<float*>(weights.bias.data() + chunk.n0)));
  }
  tile.primitive.execute(stream, args);
  stream.wait();
}

}  // namespace acd
