// conv_lora: a block makes a band of the grid's rows, from z to the blended tokens.
//
// For a band and each kernel size: the rows of z around it (k - 1 above and below), the inner
// convolution's rows (k / 2 above and below) and the outer convolution's stay in shared memory, as
// do both convolutions' weights, laid out [tap][in][out]. A thread makes eight outputs of one
// token, so that eight FMAs share one read of the input. Neighbouring bands repeat rows of the
// inner convolution (three times for k = 5 and bands of two): that buys enough blocks for one
// picture, so bands grow with the batch. The blend is lora_blend's (blend_rows.h).
#include "ops/conv_tokens/conv_lora_cuda.h"
#include "ops/lora_blend/blend_rows.h"

namespace acd::cuda {
namespace {

constexpr int kOutputs = 8;  // of a thread
constexpr int kThreads = kBlendThreads;

struct Sizes {
  int band;
  // Floats of shared memory.
  int z, mid, y, weights;
  size_t bytes() const { return static_cast<size_t>(z + mid + y + weights) * sizeof(float); }
};

struct Plane {
  float* at;  // [rows, grid, channels]
  int first;  // the grid row of row 0; may be negative
  int rows;
  int channels;  // in memory, a multiple of kOutputs, zero beyond those that exist
};

constexpr __host__ __device__ int padded(int64_t channels) {
  return static_cast<int>((channels + kOutputs - 1) / kOutputs * kOutputs);
}

// weight [outputs, inputs, k, k] -> to [k * k][inputs][padded outputs], zero in the padding.
inline __device__ void load_weights(const float* weight, int outputs, int inputs, int taps,
                                    float* to) {
  const int wide = (outputs + kOutputs - 1) / kOutputs * kOutputs;
  for (int i = threadIdx.x; i < taps * inputs * wide; i += blockDim.x) {
    const int o = i % wide, c = i / wide % inputs, tap = i / wide / inputs;
    to[i] = o < outputs ? weight[(o * inputs + c) * taps + tap] : 0.0f;
  }
}

// Rows [out.first, out.first + out.rows) of the convolution of `in`, which has all rows that they
// need; rows and columns outside of the grid are zero on both sides.
inline __device__ void convolve(const Plane& in, const Plane& out, const float* weights, int k,
                                int grid, int in_channels, int out_channels, int groups) {
  const int half = k / 2, chunks = out.channels / kOutputs;
  const int inputs = in_channels / groups, outputs = out_channels / groups;
  for (int i = threadIdx.x; i < out.rows * grid * chunks; i += blockDim.x) {
    const int chunk = i % chunks, token = i / chunks;
    const int row = out.first + token / grid, column = token % grid;
    float sum[kOutputs] = {};
    if (row >= 0 && row < grid) {
      for (int ky = 0; ky < k; ++ky) {
        if (row + ky - half < 0 || row + ky - half >= grid) continue;
        const float* in_row = in.at + (row + ky - half - in.first) * grid * in.channels;
        for (int kx = 0; kx < k; ++kx) {
          const int at = column + kx - half;
          if (at < 0 || at >= grid) continue;
          const float* from = in_row + at * in.channels;
          const float* w = weights + (ky * k + kx) * inputs * out.channels + chunk * kOutputs;
          if (groups == 1) {
            for (int c = 0; c < inputs; ++c) {
              const float v = from[c];
              const float4 low = load4(w + c * out.channels);
              const float4 high = load4(w + c * out.channels + 4);
              sum[0] += v * low.x;
              sum[1] += v * low.y;
              sum[2] += v * low.z;
              sum[3] += v * low.w;
              sum[4] += v * high.x;
              sum[5] += v * high.y;
              sum[6] += v * high.z;
              sum[7] += v * high.w;
            }
          } else {
            ACD_UNROLL
            for (int o = 0; o < kOutputs; ++o) {
              const int output = chunk * kOutputs + o;
              if (output >= out_channels) break;
              const float* group = from + output / outputs * inputs;
              for (int c = 0; c < inputs; ++c) sum[o] += group[c] * w[c * out.channels + o];
            }
          }
        }
      }
    }
    float* to = out.at + token * out.channels + chunk * kOutputs;
    store4(to, make_float4(sum[0], sum[1], sum[2], sum[3]));
    store4(to + 4, make_float4(sum[4], sum[5], sum[6], sum[7]));
  }
}

// Rows of z of one kernel size; those outside of the grid stay as they are, for nobody reads them.
inline __device__ void load_rows(const float* z, int ranks, int rank, int grid, const Plane& to) {
  for (int i = threadIdx.x; i < to.rows * grid * to.channels; i += blockDim.x) {
    const int c = i % to.channels, token = i / to.channels;
    const int row = to.first + token / grid;
    if (row < 0 || row >= grid) continue;
    to.at[i] = c < rank ? z[(int64_t{row} * grid + token % grid) * ranks + c] : 0.0f;
  }
}

template <int kRank, bool kAligned>
__global__ void __launch_bounds__(kThreads, 1) adapt(ConvLoraArgs a, Sizes sizes) {
  ACD_SHARED(float, rows_y, kBlendRows* kRank);
  ACD_SHARED(float, sums, kThreads / kWarp * 2 * kBlendRows);
  float* z_at = dynamic_shared<float>();
  float* mid_at = z_at + sizes.z;
  float* y = mid_at + sizes.mid;  // [kernels][band, grid, padded rank]
  float* weights = y + sizes.y;
  const int grid = static_cast<int>(a.grid), rank = static_cast<int>(a.rank);
  const int conv_rank = static_cast<int>(a.conv_rank), groups = static_cast<int>(a.groups);
  const int ranks = a.kernels * rank, wide = padded(rank);
  const int first = blockIdx.x * sizes.band, band = min(sizes.band, grid - first);
  const int64_t item = blockIdx.y;
  const int plane = sizes.band * grid * wide;  // of one kernel size in y

  for (int j = 0; j < a.kernels; ++j) {
    const int k = a.kernel_size[j], half = k / 2, taps = k * k;
    const Plane z = {z_at, first - 2 * half, band + 4 * half, wide};
    const Plane mid = {mid_at, first - half, band + 2 * half, padded(conv_rank)};
    const Plane out = {y + j * plane, first, band, wide};
    float* weights_b = weights + taps * (rank / groups) * mid.channels;
    load_weights(a.conv_a[j], conv_rank, rank / groups, taps, weights);
    load_weights(a.conv_b[j], rank, conv_rank / groups, taps, weights_b);
    load_rows(a.z + item * a.batch_z + j * rank, ranks, rank, grid, z);
    __syncthreads();
    convolve(z, mid, weights, k, grid, rank, conv_rank, groups);
    __syncthreads();
    convolve(mid, out, weights_b, k, grid, conv_rank, rank, groups);
    __syncthreads();
  }

  Blend<kRank, kAligned> blend;
  blend.load(a.up, a.mix, ranks, a.width);
  const int64_t first_token = int64_t{first} * grid;
  float* x = a.x + item * a.batch_x + first_token * a.ldx;
  Bf16* copy =
      a.copy ? static_cast<Bf16*>(a.copy) + item * a.batch_copy + first_token * a.ld_copy : nullptr;
  for (int token = 0; token < band * grid; token += kBlendRows) {
    const int rows = min(kBlendRows, band * grid - token);
    for (int i = threadIdx.x; i < kBlendRows * kRank; i += blockDim.x) {
      const int r = i / kRank, column = i % kRank;
      rows_y[i] = r < rows && column < ranks
                      ? y[column / rank * plane + (token + r) * wide + column % rank]
                      : 0.0f;
    }
    __syncthreads();
    blend.run({x + token * a.ldx, a.ldx, copy ? copy + token * a.ld_copy : nullptr, a.ld_copy},
              rows_y, rows, a.width, sums);
  }
}

Sizes sizes_of(const ConvLoraArgs& a, int band) {
  Sizes s = {band, 0, 0, 0, 0};
  const int grid = static_cast<int>(a.grid);
  const int wide = padded(a.rank), wide_mid = padded(a.conv_rank);
  for (int j = 0; j < a.kernels; ++j) {
    const int half = a.kernel_size[j] / 2, taps = a.kernel_size[j] * a.kernel_size[j];
    const auto weights = taps * static_cast<int>(a.rank * wide_mid + a.conv_rank * wide) /
                         static_cast<int>(a.groups);
    const auto larger = [](int& to, int value) { to = value > to ? value : to; };
    larger(s.z, (band + 4 * half) * grid * wide);
    larger(s.mid, (band + 2 * half) * grid * wide_mid);
    larger(s.weights, weights);
  }
  s.y = a.kernels * band * grid * wide;
  return s;
}

// The largest band that still gives every multiprocessor of a large GPU a block, within the shared
// memory; 0 where not even one row fits.
int band_of(const ConvLoraArgs& a, size_t shared_bytes) {
  constexpr int64_t kBlocks = 132;
  for (int band = 8; band > 0; band /= 2) {
    const int64_t blocks = a.batch * blocks_for(a.grid, band);
    if ((band == 1 || band == 2 || blocks >= kBlocks) && sizes_of(a, band).bytes() <= shared_bytes)
      return band;
  }
  return 0;
}

bool fits_vectors(const ConvLoraArgs& a) {
  const bool copy = !a.copy || (is_aligned4(static_cast<const Bf16*>(a.copy), a.ld_copy) &&
                                a.batch_copy % 4 == 0);
  return copy && a.width % 4 == 0 && is_aligned4(a.x, a.ldx) && a.batch_x % 4 == 0 &&
         is_aligned4(a.up, a.width) && is_aligned4(a.mix, 0);
}

template <int kRank>
int launch_rank(void* stream, const ConvLoraArgs& a, size_t shared_bytes) {
  const Sizes sizes = sizes_of(a, band_of(a, shared_bytes));
  const dim3 grid(blocks_for(a.grid, sizes.band), static_cast<unsigned>(a.batch));
  const auto kernel = fits_vectors(a) ? adapt<kRank, true> : adapt<kRank, false>;
  return launch(stream, grid, dim3(kThreads), sizes.bytes(), kernel, a, sizes);
}

constexpr size_t static_shared_bytes() {
  return (kBlendRows * kMaxBlendRank + kThreads / kWarp * 2 * kBlendRows) * sizeof(float);
}

}  // namespace

bool conv_lora_fits(const ConvLoraArgs& a, size_t shared_bytes) {
  return a.kernels <= kMaxKernelSizes && a.kernels * a.rank <= kMaxBlendRank &&
         a.width <= kThreads * kBlendColumns && shared_bytes > static_shared_bytes() &&
         band_of(a, shared_bytes - static_shared_bytes()) > 0;
}

int conv_lora(void* stream, const ConvLoraArgs& a, size_t shared_bytes) {
  if (a.batch == 0) return 0;
  if (!conv_lora_fits(a, shared_bytes)) return kInvalidValue;
  const size_t dynamic = shared_bytes - static_shared_bytes();
  if (a.kernels * a.rank <= 16) return launch_rank<16>(stream, a, dynamic);
  return launch_rank<32>(stream, a, dynamic);
}

}  // namespace acd::cuda
