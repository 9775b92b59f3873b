#include "plain_f32.h"

#include <algorithm>
#include <cmath>
#include <vector>

namespace acd::test {
namespace {

float activate(float s, Activation act) {
  switch (act) {
    case Activation::kNone:
      return s;
    case Activation::kGelu:
      return 0.5f * s * (1.0f + std::erf(s * 0.70710678f));
    case Activation::kQuickGelu:
      return s / (1.0f + std::exp(-1.702f * s));
    case Activation::kLeakyRelu:
      return s < 0 ? 0.01f * s : s;
  }
  return s;
}

float length_of(const std::vector<float>& v) {
  float s = 0;
  for (float x : v) s += x * x;
  return std::sqrt(s);
}

void attend_row(const AttentionParams& p, const float* head, int64_t i, float* out) {
  const int64_t width = p.heads * kHeadWidth, ld = 3 * width;
  const int64_t keys = p.causal ? i + 1 : p.tokens;
  std::vector<float> s(static_cast<size_t>(keys), 0.0f);
  for (int64_t j = 0; j < keys; ++j) {
    for (int64_t d = 0; d < kHeadWidth; ++d) s[j] += head[i * ld + d] * head[j * ld + width + d];
    s[j] *= 0.125f;
  }
  const float top = *std::max_element(s.begin(), s.end());
  float total = 0;
  for (float& v : s) total += v = std::exp(v - top);
  for (int64_t d = 0; d < kHeadWidth; ++d) {
    float o = 0;
    for (int64_t j = 0; j < keys; ++j) o += s[j] * head[j * ld + 2 * width + d];
    out[d] = o / total;
  }
}

float convolve(const ConvTokensParams& p, const float* x, int64_t row, int64_t column, int64_t o) {
  const int64_t inputs = p.c_in / p.groups, group = o / (p.c_out / p.groups);
  float s = 0;
  for (int64_t ky = 0; ky < p.k; ++ky) {
    for (int64_t kx = 0; kx < p.k; ++kx) {
      const int64_t iy = row + ky - p.k / 2, ix = column + kx - p.k / 2;
      if (iy < 0 || iy >= p.grid || ix < 0 || ix >= p.grid) continue;
      const float* token = x + (iy * p.grid + ix) * p.ldx + group * inputs;
      for (int64_t c = 0; c < inputs; ++c) {
        s += p.weight[((o * inputs + c) * p.k + ky) * p.k + kx] * token[c];
      }
    }
  }
  return s;
}

using Plane = std::vector<float>;

int64_t reflect(int64_t i, int64_t n) {
  while (n > 1 && (i < 0 || i >= n)) i = i < 0 ? -i : 2 * (n - 1) - i;
  return n > 1 ? i : 0;
}

Plane blur(Plane d, const FuseMapParams& p) {
  Plane w;
  float total = 0;
  for (int64_t k = -(p.taps / 2); k <= p.taps / 2; ++k) {
    const auto t = static_cast<float>(k);
    w.push_back(std::exp(-t * t / (2.0f * p.sigma * p.sigma)));
    total += w.back();
  }
  for (int axis = 0; axis < 2; ++axis) {
    const Plane from = d;
    for (int64_t i = 0; i < p.grid * p.grid; ++i) {
      const int64_t y = i / p.grid, x = i % p.grid;
      d[i] = 0;
      for (int64_t k = 0; k < p.taps; ++k) {
        const int64_t to = reflect((axis ? y : x) + k - p.taps / 2, p.grid);
        d[i] += w[k] / total * from[axis ? to * p.grid + x : y * p.grid + to];
      }
    }
  }
  return d;
}

float upsample(const Plane& d, const FuseMapParams& p, int64_t y, int64_t x) {
  const int64_t g = p.grid, last = std::max<int64_t>(1, p.size - 1);
  const float fy = static_cast<float>(y * (g - 1)) / static_cast<float>(last);
  const float fx = static_cast<float>(x * (g - 1)) / static_cast<float>(last);
  const auto y0 = static_cast<int64_t>(fy), x0 = static_cast<int64_t>(fx);
  const int64_t y1 = std::min(y0 + 1, g - 1), x1 = std::min(x0 + 1, g - 1);
  const float wy = fy - static_cast<float>(y0), wx = fx - static_cast<float>(x0);
  return (1 - wy) * ((1 - wx) * d[y0 * g + x0] + wx * d[y0 * g + x1]) +
         wy * ((1 - wx) * d[y1 * g + x0] + wx * d[y1 * g + x1]);
}

void plain_linear_int8(const LinearParams& p, const LinearWeights& w) {
  for (int64_t row = 0; row < p.batch * p.rows; ++row) {
    const int64_t item = row / p.rows, r = row % p.rows;
    const uint8_t* x = static_cast<const uint8_t*>(p.x) + item * p.batch_x + r * p.ldx;
    float* y = static_cast<float*>(p.y) + item * p.batch_y + r * p.ldy;
    for (int64_t j = 0; j < w.n; ++j) {
      const float* from = w.weight + j * w.k;
      float top = 0;
      for (int64_t k = 0; k < w.k; ++k) top = std::max(top, std::fabs(from[k]));
      int32_t products = 0, sum = 0;
      for (int64_t k = 0; k < w.k; ++k) {
        const auto code = static_cast<int32_t>(std::lrint(from[k] * (top > 0 ? 127.0f / top : 0)));
        products += x[k] * code;
        sum += code;
      }
      const float scale = top / 127.0f;
      float s = static_cast<float>(products) * (p.x_rows[row].scale * scale) +
                p.x_rows[row].low * (scale * static_cast<float>(sum));
      if (w.bias) s += w.bias[j];
      y[j] = p.accumulate ? y[j] + s : activate(s, p.act);
    }
  }
}

}  // namespace

void plain_linear(const LinearParams& p, const LinearWeights& w) {
  if (w.type == NumberType::kInt8) return plain_linear_int8(p, w);
  for (int64_t row = 0; row < p.batch * p.rows; ++row) {
    const float* x =
        static_cast<const float*>(p.x) + row / p.rows * p.batch_x + row % p.rows * p.ldx;
    float* y = static_cast<float*>(p.y) + row / p.rows * p.batch_y + row % p.rows * p.ldy;
    for (int64_t j = 0; j < w.n; ++j) {
      float s = 0;
      for (int64_t k = 0; k < w.k; ++k) s += x[k] * w.weight[j * w.k + k];
      if (w.bias) s += w.bias[j];
      if (p.accumulate) s += y[j];
      y[j] = activate(s, p.act);
    }
  }
}

void plain_layer_norm(const LayerNormParams& p) {
  const auto n = static_cast<float>(p.width);
  for (int64_t r = 0; r < p.rows; ++r) {
    const float* x = p.x + r * p.ldx;
    float mean = 0, var = 0;
    for (int64_t i = 0; i < p.width; ++i) mean += x[i];
    mean /= n;
    for (int64_t i = 0; i < p.width; ++i) var += (x[i] - mean) * (x[i] - mean);
    const float sd = std::sqrt(var / n + p.eps);
    float* y = static_cast<float*>(p.y) + r * p.ldy;
    for (int64_t i = 0; i < p.width; ++i) y[i] = (x[i] - mean) / sd * p.weight[i] + p.bias[i];
  }
}

void plain_attention(const AttentionParams& p) {
  const int64_t width = p.heads * kHeadWidth;
  for (int64_t b = 0; b < p.batch; ++b) {
    for (int64_t h = 0; h < p.heads; ++h) {
      const float* head =
          static_cast<const float*>(p.qkv) + b * p.tokens * 3 * width + h * kHeadWidth;
      float* out = static_cast<float*>(p.out) + b * p.tokens * width + h * kHeadWidth;
      for (int64_t i = 0; i < p.tokens; ++i) attend_row(p, head, i, out + i * width);
    }
  }
}

void plain_conv_tokens(const ConvTokensParams& p) {
  for (int64_t b = 0; b < p.batch; ++b) {
    for (int64_t t = 0; t < p.grid * p.grid; ++t) {
      for (int64_t o = 0; o < p.c_out; ++o) {
        p.y[b * p.batch_y + t * p.ldy + o] =
            convolve(p, p.x + b * p.batch_x, t / p.grid, t % p.grid, o);
      }
    }
  }
}

void plain_lora_blend(const LoraBlendParams& p) {
  std::vector<float> a(static_cast<size_t>(p.width));
  for (int64_t r = 0; r < p.rows; ++r) {
    float* x = p.x + r * p.ldx;
    for (int64_t i = 0; i < p.width; ++i) {
      a[i] = 0;
      for (int64_t k = 0; k < p.rank; ++k) a[i] += p.y[r * p.ldy + k] * p.up[k * p.width + i];
    }
    const float size_a = length_of(a), size_x = length_of({x, x + p.width});
    for (int64_t i = 0; i < p.width; ++i) {
      const float blended = size_a > 0 ? a[i] * size_x / size_a : 0.0f;
      x[i] = (1 - p.mix[i]) * x[i] + p.mix[i] * blended;
    }
  }
}

void plain_head(const HeadParams& p, const LinearWeights& w) {
  std::vector<float> v(static_cast<size_t>(p.width)), mean(v.size(), 0.0f);
  for (int64_t t = 0; t < p.tokens; ++t) {
    LinearParams linear = {p.h + t * p.ldh, p.ldh, nullptr, v.data(), p.width, 1};
    plain_linear(linear, w);
    plain_layer_norm(
        {v.data(), p.width, p.norm_weight, p.norm_bias, v.data(), p.width, 1, p.width});
    const float length = std::max(length_of(v), 1e-12f);
    for (int64_t i = 0; i < p.width; ++i) {
      v[i] /= length;
      mean[i] += v[i];
      if (p.vectors) p.vectors[t * p.width + i] = v[i];
    }
    for (int64_t c = 0; p.dots && c < p.columns; ++c) {
      float d = 0;
      for (int64_t i = 0; i < p.width; ++i) d += v[i] * p.text[c * p.width + i];
      p.dots[t * p.columns + c] = d;
    }
  }
  for (int64_t i = 0; i < p.width; ++i) p.mean[i] = mean[i] / static_cast<float>(p.tokens);
}

void plain_fuse_map(const FuseMapParams& p) {
  const int64_t n = p.grid * p.grid;
  std::vector<Plane> mean(2, Plane(static_cast<size_t>(n), 0.0f));
  for (int64_t i = 0; i < p.groups * 2 * n; ++i) {
    const int64_t group = i / (2 * n), c = i / n % 2, t = i % n;
    float logit = 0;
    for (int64_t j = 0; j < p.groups; ++j) {
      logit += p.gates[(group * p.groups + j) * 2 + c] *
               p.dots[(group * n + t) * 2 * p.groups + 2 * j + c];
    }
    logit *= 10.0f;
    if (p.logits) p.logits[i] = logit;
    mean[c][t] += logit / static_cast<float>(p.groups);
  }
  for (Plane& plane : mean) plane = blur(plane, p);
  *p.max = 0;
  for (int64_t i = 0; i < p.size * p.size; ++i) {
    const float normal = upsample(mean[0], p, i / p.size, i % p.size);
    const float abnormal = upsample(mean[1], p, i / p.size, i % p.size);
    const float top = std::max(normal, abnormal);
    p.map[i] = std::exp(abnormal - top) / (std::exp(normal - top) + std::exp(abnormal - top));
    *p.max = std::max(*p.max, p.map[i]);
  }
}

}  // namespace acd::test
