#include "backend/cpu/gemm.h"

#include <omp.h>

#include <algorithm>
#include <atomic>

#include "core/half.h"

namespace acd {
namespace {

// Columns that are packed at once, by one thread.
constexpr int64_t kPieceColumns = 256;

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

// Of every model in the process, and never destroyed: threads keep oneDNN objects made with it.
const dnnl::engine& cpu_engine() {
  static const dnnl::engine& engine = *new dnnl::engine(dnnl::engine::kind::cpu, 0);
  return engine;
}

dnnl::memory::data_type dnnl_type(NumberType type) {
  return type == NumberType::kF32 ? dnnl::memory::data_type::f32 : dnnl::memory::data_type::bf16;
}

dnnl::memory::desc rows_desc(NumberType type, int64_t rows, int64_t columns, int64_t stride) {
  return dnnl::memory::desc({rows, columns}, dnnl_type(type), dnnl::memory::dims{stride, 1});
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

// What a thread says to oneDNN when it runs a tile, made once: every call only changes the
// addresses.
struct Call {
  explicit Call(const Gemm::Tile& tile)
      : tile(tile.id),
        src(tile.src, cpu_engine(), nullptr),
        dst(tile.dst, cpu_engine(), nullptr),
        scratchpad(tile.scratchpad, cpu_engine(), nullptr) {
    if (!tile.bias.is_zero()) bias = dnnl::memory(tile.bias, cpu_engine(), nullptr);
  }
  uint64_t tile;
  dnnl::memory src, dst, bias, scratchpad;
};

class Calls {
 public:
  Calls() : stream(cpu_engine()) {}
  Call& of(const Gemm::Tile& tile) {
    for (Call& call : calls_) {
      if (call.tile == tile.id) return call;
    }
    // More than a model has; those of models that are gone make room.
    constexpr size_t kMost = 64;
    if (calls_.size() < kMost) return calls_.emplace_back(tile);
    next_ = (next_ + 1) % kMost;
    return calls_[next_] = Call(tile);
  }
  dnnl::stream stream;

 private:
  std::vector<Call> calls_;
  size_t next_ = 0;
};

}  // namespace

RowTiles::RowTiles(int64_t rows, int64_t limit) : rows(rows) {
  count = (rows + limit - 1) / limit;
  height = count ? (rows + count - 1) / count : 0;
}

size_t PackedLinear::bytes() const { return weights.bytes() + bias.bytes() + scales.bytes(); }

PackedLinear Gemm::layout(const LinearWeights& w) const {
  OneOmpThread serial;
  PackedLinear packed;
  packed.n = w.n;
  packed.k = w.k;
  packed.type = w.type;
  if (w.bias) {
    packed.bias = FloatBuffer(static_cast<size_t>(w.n));
    std::copy(w.bias, w.bias + w.n, packed.bias.data());
  }
  const dnnl::memory::desc any({w.k, w.n}, dnnl_type(w.type), dnnl::memory::format_tag::any);
  packed.desc =
      make_matmul(cpu_engine(), rows_desc(w.type, kTileRows, w.k, w.k), any, dnnl::memory::desc(),
                  rows_desc(w.type, kTileRows, w.n, w.n), dnnl::primitive_attr())
          .weights_desc();
  packed.weights = AlignedBytes(packed.desc.get_size());
  packed.memory = dnnl::memory(packed.desc, cpu_engine(), packed.weights.data());
  return packed;
}

int64_t Gemm::pieces(const PackedLinear& packed) {
  // Whole blocks of any layout; columns beside a ragged edge may share one.
  return packed.n % kPieceColumns == 0 ? packed.n / kPieceColumns : 1;
}

void Gemm::pack_piece(const LinearWeights& w, const PackedLinear& packed, int64_t piece) const {
  OneOmpThread serial;
  dnnl::stream stream(cpu_engine());
  const int64_t n = w.n / pieces(packed), first = piece * n;
  const float* from = w.weight + first * w.k;
  AlignedBytes rounded(static_cast<size_t>(n * w.k) * sizeof(uint16_t));
  auto* bits = reinterpret_cast<uint16_t*>(rounded.data());
  for (int64_t i = 0; i < n * w.k; ++i) bits[i] = bf16_of_float(from[i]);
  const dnnl::memory::desc plain({w.k, n}, dnnl_type(w.type), dnnl::memory::dims{1, w.k});
  dnnl::memory src(plain, cpu_engine(), rounded.data());
  const auto part =
      pieces(packed) == 1 ? packed.desc : packed.desc.submemory_desc({w.k, n}, {0, first});
  dnnl::memory dst(part, cpu_engine(), const_cast<uint8_t*>(packed.weights.data()));
  dnnl::reorder(src, dst).execute(stream, src, dst);
  stream.wait();
}

std::shared_ptr<const Gemm::Tile> Gemm::tile(const Shape& shape, const PackedLinear& packed) {
  std::lock_guard<std::mutex> lock(mutex_);
  auto found = tiles_.find(shape);
  if (found != tiles_.end()) return found->second;
  OneOmpThread serial;
  const auto bias =
      shape.bias ? rows_desc(NumberType::kF32, 1, shape.n, shape.n) : dnnl::memory::desc();
  const auto desc =
      make_matmul(cpu_engine(), rows_desc(packed.type, shape.rows, shape.k, shape.ldx), packed.desc,
                  bias, rows_desc(shape.y_type, shape.rows, shape.n, shape.ldy),
                  attributes(shape.act, shape.accumulate));
  auto tile = std::make_shared<Tile>();
  static std::atomic<uint64_t> tiles{0};
  tile->id = ++tiles;
  tile->primitive = dnnl::matmul(desc);
  tile->src = desc.src_desc();
  tile->dst = desc.dst_desc();
  tile->bias = bias;
  tile->scratchpad = desc.scratchpad_desc();
  tile->scratch_bytes = desc.scratchpad_desc().get_size();
  tile->implementation = desc.impl_info_str();
  return tiles_[shape] = tile;
}

void Gemm::run(const Tile& tile, const PackedLinear& weights, const void* x, void* y,
               void* scratch) const {
  OneOmpThread serial;
  thread_local Calls calls;
  Call& call = calls.of(tile);
  call.src.set_data_handle(const_cast<void*>(x));
  call.dst.set_data_handle(y);
  call.scratchpad.set_data_handle(scratch);
  dnnl_exec_arg_t args[5] = {{DNNL_ARG_SRC, call.src.get()},
                             {DNNL_ARG_WEIGHTS, weights.memory.get()},
                             {DNNL_ARG_DST, call.dst.get()},
                             {DNNL_ARG_SCRATCHPAD, call.scratchpad.get()}};
  int count = 4;
  if (call.bias) {
    call.bias.set_data_handle(const_cast<float*>(weights.bias.data()));
    args[count++] = {DNNL_ARG_BIAS, call.bias.get()};
  }
  // The C++ interface would build a hash table of the arguments in every call.
  dnnl::error::wrap_c_api(
      dnnl_primitive_execute(tile.primitive.get(), calls.stream.get(), count, args),
      "a matrix product failed");
  calls.stream.wait();
}

}  // namespace acd
