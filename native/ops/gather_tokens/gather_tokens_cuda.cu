// gather_tokens: one block a token, one column a thread. Arithmetic of a seeded table is rounded
// step by step (the _rn functions are never fused), so that its bits are those of every other
// implementation.
#include "backend/cuda/device_code.h"
#include "ops/gather_tokens/gather_tokens_cuda.h"

namespace acd::cuda {
namespace {

constexpr int kThreads = 256;

// FNV-1a over "token_embedding.weight".
constexpr uint32_t name_hash() {
  uint32_t h = 0x811c9dc5u;
  for (const char* c = "token_embedding.weight"; *c != 0; ++c)
    h = (h ^ static_cast<uint32_t>(*c)) * 0x01000193u;
  return h;
}

constexpr uint32_t kTableName = name_hash();

inline __device__ float seeded_element(uint32_t seed, int64_t i) {
  uint32_t n = static_cast<uint32_t>(i) * 0x9e3779b9u + (kTableName ^ seed);
  n = (n ^ (n >> 16)) * 0x85ebca6bu;
  n = (n ^ (n >> 13)) * 0xc2b2ae35u;
  n ^= n >> 16;
  const float u = static_cast<float>(n >> 8) * 0x1p-24f;  // exact, as are the next two
  return __fmul_rn(0.2f, 2.0f * u - 1.0f);
}

template <TableType kType>
inline __device__ float element(const GatherTokensParams& p, int64_t i) {
  switch (kType) {
    case TableType::kF32:
      return static_cast<const float*>(p.table)[i];
    case TableType::kF16:
      return to_float(static_cast<const Half*>(p.table)[i]);
    case TableType::kBf16:
      return to_float(static_cast<const Bf16*>(p.table)[i]);
    default:
      return seeded_element(p.seed, i);
  }
}

template <TableType kType>
__global__ void __launch_bounds__(kThreads) gather(GatherTokensParams p) {
  const int64_t row = blockIdx.x;
  const int64_t first = int64_t{p.ids[row]} * p.width;
  const float* position = p.positions + row % p.length * p.width;
  float* x = p.x + row * p.width;
  for (int64_t i = threadIdx.x; i < p.width; i += kThreads) {
    x[i] = __fadd_rn(element<kType>(p, first + i), position[i]);
  }
}

// One block a sequence. Every thread finds the end for itself: 77 reads of the same address.
__global__ void __launch_bounds__(kThreads) gather_end(GatherEndsArgs a) {
  const int32_t* ids = a.ids + blockIdx.x * a.length;
  int64_t end = 0;
  for (int64_t l = 1; l < a.length; ++l) {
    if (ids[l] > ids[end]) end = l;
  }
  const float* x = a.x + (blockIdx.x * a.length + end) * a.width;
  float* y = a.y + blockIdx.x * a.width;
  for (int64_t i = threadIdx.x; i < a.width; i += kThreads) y[i] = x[i];
}

}  // namespace

int gather_ends(void* stream, const GatherEndsArgs& a) {
  if (a.sequences == 0) return 0;
  return launch(stream, dim3(blocks_for(a.sequences, 1)), dim3(kThreads), 0, gather_end, a);
}

}  // namespace acd::cuda

int acd::gather_tokens_cuda(const CudaLaunch& cuda, const GatherTokensParams& p) {
  using namespace cuda;
  const int64_t rows = p.sequences * p.length;
  if (rows == 0) return 0;
  const dim3 grid(blocks_for(rows, 1)), block(kThreads);
  switch (p.type) {
    case TableType::kF32:
      return launch(cuda.stream, grid, block, 0, gather<TableType::kF32>, p);
    case TableType::kF16:
      return launch(cuda.stream, grid, block, 0, gather<TableType::kF16>, p);
    case TableType::kBf16:
      return launch(cuda.stream, grid, block, 0, gather<TableType::kBf16>, p);
    case TableType::kSeeded:
      return launch(cuda.stream, grid, block, 0, gather<TableType::kSeeded>, p);
  }
  return kInvalidValue;
}
