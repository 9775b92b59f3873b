// attention in bf16 or f16 on tensor cores (mma.sync, compute capability 8.0 on), without the
// tokens x tokens matrix, after Dao 2023 (FlashAttention-2): one block takes 128 queries of a head,
// each of its four warps 32, and goes over the keys 64 at a time.
//
// A warp holds two tiles of 16 queries, so that each fragment of k and v read from shared memory
// feeds two products: with one tile, shared memory and not the tensor core sets the pace. Scores
// become the left side of the product with v in the registers where they are. q, k and v are read
// in place from the product that made them; k and v come two stages ahead of their use by
// asynchronous copies, and rows of 128 bytes are stored with their 16-byte pieces permuted by the
// row, so that the eight rows of a matrix lie in different banks. Scores are kept times log2(e) /
// 8, and their exponentials taken to the base of two. Only the last block of keys, and those that a
// causal diagonal crosses, are masked.
#include "backend/cuda/warp_matrix.h"
#include "ops/attention/attention_cuda.h"

namespace acd::cuda {
namespace {

constexpr int kWidth = static_cast<int>(kHeadWidth);
constexpr int kWarps = 4;
constexpr int kTiles = 2;  // of 16 queries a warp
constexpr int kQueries = kWarps * kTiles * 16;
constexpr int kKeys = 64;
constexpr int kPieces = kWidth / 8;  // of 16 bytes in a row
constexpr float kScale = 0.125f * 1.44269504088896341f;

// Where piece `piece` of a row lies.
inline __device__ int piece_at(int row, int piece) {
  return row * kWidth + (piece ^ (row % 8)) * 8;
}

// kRows rows of 64 values into shared memory, in the background; rows beyond `rows` become zero.
template <int kRows, typename T>
inline __device__ void fetch(T* to, const T* from, int64_t pitch, int64_t rows) {
  ACD_UNROLL
  for (int i = 0; i < kRows * kPieces / (kWarps * kWarp); ++i) {
    const int at = i * kWarps * kWarp + threadIdx.x, row = at / kPieces, piece = at % kPieces;
    const bool valid = row < rows;
    copy_async_16(to + piece_at(row, piece), from + (valid ? row * pitch + piece * 8 : 0), valid);
  }
}

struct State {
  float out[kTiles][kPieces][4];  // [16 queries, 8 columns] each, as a product leaves them
  float top[kTiles][2];           // of rows g and g + 8, scaled
  float total[kTiles][2];         // the lane's own share
};

// scores += q k^T of 64 keys
template <typename T>
inline __device__ void score(float (&s)[kTiles][kKeys / 8][4],
                             const unsigned (&q)[kTiles][kWidth / 16][4], const T* k) {
  const int lane = threadIdx.x % kWarp;
  ACD_UNROLL
  for (int d = 0; d < kWidth / 16; ++d) {
    ACD_UNROLL
    for (int n = 0; n < kKeys / 16; ++n) {
      const int key = n * 16 + lane % 8 + lane / 16 * 8;
      unsigned b[4];
      load_matrices(b, k + piece_at(key, 2 * d + lane / 8 % 2));
      ACD_UNROLL
      for (int tile = 0; tile < kTiles; ++tile) {
        multiply_add<T>(s[tile][2 * n], q[tile][d], b[0], b[1]);
        multiply_add<T>(s[tile][2 * n + 1], q[tile][d], b[2], b[3]);
      }
    }
  }
}

// out += p v of 64 keys; p as soften leaves it
template <typename T>
inline __device__ void collect(State& state, const unsigned (&p)[kTiles][kKeys / 8][2],
                               const T* v) {
  const int lane = threadIdx.x % kWarp;
  ACD_UNROLL
  for (int n = 0; n < kKeys / 16; ++n) {
    ACD_UNROLL
    for (int d = 0; d < kPieces / 2; ++d) {
      unsigned b[4];
      load_matrices_transposed(b, v + piece_at(n * 16 + lane % 16, 2 * d + lane / 16));
      ACD_UNROLL
      for (int tile = 0; tile < kTiles; ++tile) {
        const unsigned a[4] = {p[tile][2 * n][0], p[tile][2 * n][1], p[tile][2 * n + 1][0],
                               p[tile][2 * n + 1][1]};
        multiply_add<T>(state.out[tile][2 * d], a, b[0], b[1]);
        multiply_add<T>(state.out[tile][2 * d + 1], a, b[2], b[3]);
      }
    }
  }
}

// Keys that a row must not see get -infinity. first_query: of the warp; first_key: of the block.
inline __device__ void mask(float (&s)[kTiles][kKeys / 8][4], int64_t first_query,
                            int64_t first_key, int64_t tokens, bool causal) {
  const int g = threadIdx.x % kWarp / 4, t = threadIdx.x % 4;
  ACD_UNROLL
  for (int tile = 0; tile < kTiles; ++tile) {
    ACD_UNROLL
    for (int n = 0; n < kKeys / 8; ++n) {
      ACD_UNROLL
      for (int i = 0; i < 4; ++i) {
        const int64_t query = first_query + tile * 16 + g + i / 2 * 8;
        const int64_t key = first_key + n * 8 + 2 * t + i % 2;
        if (key >= tokens || (causal && key > query)) s[tile][n][i] = -INFINITY;
      }
    }
  }
}

// Scores become weights relative to the running maximum, two of a row to a register; outputs and
// the sum, of the weights as rounded, follow it.
template <typename T>
inline __device__ void soften(const float (&s)[kTiles][kKeys / 8][4],
                              unsigned (&p)[kTiles][kKeys / 8][2], State& state) {
  ACD_UNROLL
  for (int tile = 0; tile < kTiles; ++tile) {
    ACD_UNROLL
    for (int half = 0; half < 2; ++half) {  // rows g and g + 8
      float highest = -INFINITY;
      ACD_UNROLL
      for (int n = 0; n < kKeys / 8; ++n) {
        highest = fmaxf(highest, fmaxf(s[tile][n][2 * half], s[tile][n][2 * half + 1]));
      }
      highest = fmaxf(highest, __shfl_xor_sync(kAllLanes, highest, 1));
      highest = fmaxf(highest, __shfl_xor_sync(kAllLanes, highest, 2));
      highest = fmaxf(state.top[tile][half], highest * kScale);
      const float shrink = fast_exp2(state.top[tile][half] - highest);
      state.top[tile][half] = highest;
      float sum = 0;
      ACD_UNROLL
      for (int n = 0; n < kKeys / 8; ++n) {
        p[tile][n][half] = pack<T>(fast_exp2(fmaf(s[tile][n][2 * half], kScale, -highest)),
                                   fast_exp2(fmaf(s[tile][n][2 * half + 1], kScale, -highest)));
        const float2 rounded = unpack<T>(p[tile][n][half]);
        sum += rounded.x + rounded.y;
      }
      state.total[tile][half] = state.total[tile][half] * shrink + sum;
      ACD_UNROLL
      for (int d = 0; d < kPieces; ++d) {
        state.out[tile][d][2 * half] *= shrink;
        state.out[tile][d][2 * half + 1] *= shrink;
      }
    }
  }
}

inline __device__ void store2(Bf16* at, float low, float high) {
  *reinterpret_cast<unsigned*>(at) = pack<Bf16>(low, high);
}
inline __device__ void store2(Half* at, float low, float high) {
  *reinterpret_cast<unsigned*>(at) = pack<Half>(low, high);
}
// Outputs over their sums, through the warp's own rows of shared memory, in pieces of 16 bytes.
template <typename T>
inline __device__ void write(State& state, T* rows, T* to, int64_t pitch, int64_t rows_left) {
  constexpr int kInPiece = 16 / sizeof(T), kOutPieces = kWidth / kInPiece;
  // Where values from column `column` of a row on lie: pieces permuted as above.
  const auto at = [](int row, int column) {
    const int piece = column / kInPiece ^ row * kOutPieces / 8 % kOutPieces;
    return row * kWidth + piece * kInPiece + column % kInPiece;
  };
  const int lane = threadIdx.x % kWarp, g = lane / 4, t = lane % 4;
  ACD_UNROLL
  for (int tile = 0; tile < kTiles; ++tile) {
    ACD_UNROLL
    for (int half = 0; half < 2; ++half) {
      float total = state.total[tile][half];
      total += __shfl_xor_sync(kAllLanes, total, 1);
      total += __shfl_xor_sync(kAllLanes, total, 2);
      const float scale = 1.0f / total;
      const int row = tile * 16 + half * 8 + g;
      ACD_UNROLL
      for (int d = 0; d < kPieces; ++d) {
        const float* o = &state.out[tile][d][2 * half];
        store2(rows + at(row, d * 8 + 2 * t), o[0] * scale, o[1] * scale);
      }
    }
  }
  __syncwarp();
  ACD_UNROLL
  for (int i = 0; i < kTiles * 16 * kOutPieces / kWarp; ++i) {
    const int row = (i * kWarp + lane) / kOutPieces, column = lane % kOutPieces * kInPiece;
    if (row < rows_left) {
      *reinterpret_cast<uint4*>(to + row * pitch + column) =
          *reinterpret_cast<const uint4*>(rows + at(row, column));
    }
  }
}

// The queries' rows lie where the second stage of keys goes later, and again where outputs are
// gathered: [2 stages][k, v][64, 64] are as large as two times [128, 64].
constexpr int kStage = 2 * kKeys * kWidth;
static_assert(kStage == kQueries * kWidth, "the queries fill one stage");

template <typename T>
__global__ void __launch_bounds__(kWarps* kWarp) attend(AttentionArgs a) {
  T* shared = dynamic_shared<T>();
  const int warp = threadIdx.x / kWarp, lane = threadIdx.x % kWarp;
  const int64_t width = a.heads * kWidth, pitch = 3 * width;
  const T* base =
      static_cast<const T*>(a.qkv) + blockIdx.z * a.tokens * pitch + int64_t{blockIdx.y} * kWidth;
  const int64_t first = int64_t{blockIdx.x} * kQueries, mine = first + warp * kTiles * 16;
  const int64_t seen = a.causal ? min(first + kQueries, a.tokens) : a.tokens;
  const int blocks = static_cast<int>((seen + kKeys - 1) / kKeys);
  const auto fetch_keys = [&](int block) {
    T* to = shared + block % 2 * kStage;
    const int64_t key = int64_t{block} * kKeys;
    fetch<kKeys>(to, base + width + key * pitch, pitch, a.tokens - key);
    fetch<kKeys>(to + kKeys * kWidth, base + 2 * width + key * pitch, pitch, a.tokens - key);
  };

  fetch<kQueries>(shared + kStage, base + first * pitch, pitch, a.tokens - first);
  copy_async_commit();
  fetch_keys(0);
  copy_async_commit();
  copy_async_wait<1>();
  __syncthreads();
  unsigned q[kTiles][kWidth / 16][4];
  ACD_UNROLL
  for (int tile = 0; tile < kTiles; ++tile) {
    ACD_UNROLL
    for (int d = 0; d < kWidth / 16; ++d) {
      const int row = (warp * kTiles + tile) * 16 + lane % 16;
      load_matrices(q[tile][d], shared + kStage + piece_at(row, 2 * d + lane / 16));
    }
  }

  State state = {};
  for (int tile = 0; tile < kTiles; ++tile) state.top[tile][0] = state.top[tile][1] = -INFINITY;
  for (int block = 0; block < blocks; ++block) {
    // Its keys have come, and everybody is done with the stage that the next ones go to.
    copy_async_wait<0>();
    __syncthreads();
    if (block + 1 < blocks) fetch_keys(block + 1);
    copy_async_commit();
    const T* k = shared + block % 2 * kStage;
    float s[kTiles][kKeys / 8][4] = {};
    score(s, q, k);
    const int64_t key = int64_t{block} * kKeys;
    if (key + kKeys > a.tokens || (a.causal && key + kKeys > mine + 1)) {
      mask(s, mine, key, a.tokens, a.causal);
    }
    unsigned p[kTiles][kKeys / 8][2];
    soften<T>(s, p, state);
    collect(state, p, k + kKeys * kWidth);
  }
  __syncthreads();
  T* out = static_cast<T*>(a.out) + (blockIdx.z * a.tokens + mine) * width +
           int64_t{blockIdx.y} * kWidth;
  write(state, shared + warp * kTiles * 16 * kWidth, out, width, a.tokens - mine);
}

template <typename T>
int launch_typed(void* stream, const AttentionArgs& a) {
  const dim3 grid(blocks_for(a.tokens, kQueries), static_cast<unsigned>(a.heads),
                  static_cast<unsigned>(a.batch));
  return launch(stream, grid, dim3(kWarps * kWarp), 2 * kStage * sizeof(T), attend<T>, a);
}

}  // namespace

int attention_tensor(void* stream, const AttentionArgs& a) {
  if (a.batch == 0 || a.tokens == 0 || a.heads == 0) return 0;
  if (a.type == Number::kBf16) return launch_typed<Bf16>(stream, a);
  if (a.type == Number::kF16) return launch_typed<Half>(stream, a);
  return kInvalidValue;
}

}  // namespace acd::cuda
