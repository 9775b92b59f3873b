#include "datagen/camera.h"

#include <algorithm>

namespace acd::datagen {
namespace {

struct RowBuffers {
  explicit RowBuffers(size_t n) : gx(n), gy(n), shine(n), light(n) {}
  Plane gx, gy, shine, light;
};

void slopes(const Surface& f, int y, RowBuffers& row) {
  const int n = f.size;
  const float* here = &f.height[f.at(0, y)];
  const float* above = &f.height[f.at(0, y > 0 ? y - 1 : 0)];
  const float* below = &f.height[f.at(0, y + 1 < n ? y + 1 : n - 1)];
  for (int x = 1; x + 1 < n; ++x)
    row.gx[static_cast<size_t>(x)] = 0.5f * (here[x + 1] - here[x - 1]);
  row.gx[0] = here[1] - here[0];
  row.gx[static_cast<size_t>(n - 1)] = here[n - 1] - here[n - 2];
  for (int x = 0; x < n; ++x) row.gy[static_cast<size_t>(x)] = 0.5f * (below[x] - above[x]);
}

void light_row(const Surface& f, const Camera& c, int y, RowBuffers& row) {
  const size_t n = static_cast<size_t>(f.size);
  const float* gloss = &f.gloss[f.at(0, y)];
  const float half = std::sqrt(c.lx * c.lx + c.ly * c.ly + square(c.lz + 1.0f));
  const float hx = c.lx / half, hy = c.ly / half, hz = (c.lz + 1.0f) / half;
  const float direct = (1.0f - c.ambient) / c.lz, step = 2.0f / static_cast<float>(f.size);
  const float v = static_cast<float>(y) * step - 1.0f;
  // Three loops without branches, for the vectoriser.
  float* light = row.light.data();
  float* shine = row.shine.data();
  const float* slope_x = row.gx.data();
  const float* slope_y = row.gy.data();
  const float lx = c.lx, ly = c.ly, lz = c.lz, ambient = c.ambient, highlight = c.highlight;
  for (size_t x = 0; x < n; ++x) {
    const float gx = slope_x[x], gy = slope_y[x];
    const float inverse = 1.0f / std::sqrt(1.0f + gx * gx + gy * gy);
    light[x] = ambient + direct * maxf(0.0f, (lz - gx * lx - gy * ly) * inverse);
    shine[x] = maxf(0.0f, (hz - gx * hx - gy * hy) * inverse);
  }
  for (int k = 0; k < c.hardness; ++k)
    for (size_t x = 0; x < n; ++x) shine[x] *= shine[x];
  const float field_y = 1.0f + c.slope_y * v - c.vignette * v * v, bend = c.vignette,
              lean = c.slope_x;
  for (size_t x = 0; x < n; ++x) {
    const float u = static_cast<float>(static_cast<int>(x)) * step - 1.0f;
    const float field = maxf(0.05f, field_y + lean * u - bend * u * u);
    light[x] *= field;
    shine[x] *= gloss[x] * highlight * field;
  }
}

void binomial_rows(Plane& p, int n, Rows rows) {
  const size_t last = static_cast<size_t>(n - 1);
  Plane from(static_cast<size_t>(n));
  for (int y = rows.first; y < rows.last; ++y) {
    float* row = &p[static_cast<size_t>(y) * static_cast<size_t>(n)];
    std::copy(row, row + n, from.begin());
    const float* in = from.data();
    for (size_t x = 1; x < last; ++x) row[x] = 0.25f * (in[x - 1] + in[x + 1]) + 0.5f * in[x];
    row[0] = 0.75f * in[0] + 0.25f * in[1];
    row[last] = 0.75f * in[last] + 0.25f * in[last - 1];
  }
}

void binomial_columns(Plane& p, int n, Rows rows) {
  const size_t stride = static_cast<size_t>(n);
  const auto top = p.begin() + rows.first * static_cast<std::ptrdiff_t>(n);
  Plane before(top, top + n);
  for (int y = rows.first; y < rows.last; ++y) {
    float* row = &p[static_cast<size_t>(y) * stride];
    const float* after = y + 1 < rows.last ? row + stride : row;
    for (size_t x = 0; x < stride; ++x) {
      const float here = row[x];
      row[x] = 0.25f * before[x] + 0.5f * here + 0.25f * after[x];
      before[x] = here;
    }
  }
}

// Colour differences averaged over 2 x 2 pixels.
void soften_colour(Picture& p, int n, Rows rows) {
  for (int y = rows.first; y + 1 < rows.last; y += 2) {
    for (int x = 0; x + 1 < n; x += 2) {
      const size_t i = static_cast<size_t>(y) * static_cast<size_t>(n) + static_cast<size_t>(x);
      const size_t at[4] = {i, i + 1, i + static_cast<size_t>(n), i + static_cast<size_t>(n) + 1};
      float red = 0, blue = 0;
      for (const size_t k : at) red += 0.25f * (p.r[k] - p.g[k]), blue += 0.25f * (p.b[k] - p.g[k]);
      for (const size_t k : at) {
        // Keeps the brightness of each pixel.
        const float y0 = 0.3f * p.r[k] + 0.59f * p.g[k] + 0.11f * p.b[k];
        const float g = y0 - 0.3f * red - 0.11f * blue;
        p.g[k] = clamp01(g), p.r[k] = clamp01(g + red), p.b[k] = clamp01(g + blue);
      }
    }
  }
}

void darken_border(Picture& p, int n, int border, Rows rows) {
  const float half = 0.5f * static_cast<float>(n);
  for (int y = rows.first; y < rows.last; ++y) {
    for (int x = 0; x < n; ++x) {
      const float u = absf((static_cast<float>(x) + 0.5f) / half - 1.0f),
                  v = absf((static_cast<float>(y) + 0.5f) / half - 1.0f);
      const float out = border == 1 ? length(u, v) - 1.08f : u + v - 1.6f;
      const float keep = clamp01(0.5f - out * half * 0.4f);
      const size_t i = static_cast<size_t>(y) * static_cast<size_t>(n) + static_cast<size_t>(x);
      p.r[i] = p.r[i] * keep + 0.01f, p.g[i] = p.g[i] * keep + 0.01f,
      p.b[i] = p.b[i] * keep + 0.01f;
    }
  }
}

// Noise of a row: a stretch of one long line of it, from a random place.
struct SensorNoise {
  static constexpr size_t kPeriod = 4099, kLongestRow = 1024;

  explicit SensorNoise(const Camera& c)
      : r(kPeriod + kLongestRow), g(kPeriod + kLongestRow), b(kPeriod + kLongestRow) {
    // A sum of two bytes, less its mean, has this deviation.
    const float scale = c.noise / 104.5f, own = c.grey ? 0.0f : 0.6f * scale;
    for (size_t i = 0; i < g.size(); ++i) {
      const uint64_t bits = mix_bits(c.noise_key + i * 0x9e3779b97f4a7c15ull);
      // Pairs of bytes are added without a carry between them.
      const uint64_t pairs = (bits & 0x00ff00ff00ff00ffull) + (bits >> 8 & 0x00ff00ff00ff00ffull);
      const auto pair = [&](int shift) {
        return static_cast<float>(static_cast<int>(pairs >> shift & 0xffff) - 255);
      };
      g[i] = scale * (0.7071f * (pair(0) + pair(16)));
      r[i] = g[i] + own * pair(32);
      b[i] = g[i] + own * pair(48);
    }
  }
  Plane r, g, b;
};

}  // namespace

Camera make_camera(Rng& design, Rng& pose, float px, bool endoscope, bool often_grey) {
  Camera c{};
  const float turn = design.uniform() + pose.range(-0.06f, 0.06f),
              lean = design.range(0.15f, 0.85f);
  c.lx = lean * cos_turn(turn), c.ly = lean * sin_turn(turn), c.lz = std::sqrt(1.0f - lean * lean);
  c.ambient = design.range(0.2f, 0.75f);
  c.highlight = endoscope ? design.range(0.4f, 1.0f) : square(design.uniform()) * 0.9f;
  c.hardness = endoscope ? 7 + design.below(3) : 2 + design.below(5);
  c.slope_x = pose.range(-0.22f, 0.22f), c.slope_y = pose.range(-0.22f, 0.22f);
  c.vignette = endoscope           ? pose.range(0.1f, 0.35f)
               : pose.chance(0.4f) ? pose.range(0.0f, 0.25f)
                                   : 0.0f;
  const float warm = design.range(-0.08f, 0.08f) + pose.range(-0.01f, 0.01f);
  c.tone_r = 1.0f + warm, c.tone_g = 1.0f + design.range(-0.03f, 0.03f), c.tone_b = 1.0f - warm;
  c.contrast = design.range(0.75f, 1.2f);
  c.brightness = design.range(-0.08f, 0.08f) + pose.range(-0.05f, 0.05f);
  c.blur = pose.below(3) + (px > 2.0f ? 1 : 0);
  c.soft_colour = pose.chance(0.5f);
  c.grey = design.chance(often_grey ? 0.75f : endoscope ? 0.0f : 0.12f);
  c.border = endoscope ? design.below(3) : 0;
  const float noisy = pose.uniform();
  c.noise = 0.3f + 6.0f * noisy * noisy * noisy;
  c.noise_key = pose.next();
  return c;
}

Picture expose(const Surface& f, const Camera& c, Rows rows) {
  Picture p{Plane(f.count()), Plane(f.count()), Plane(f.count())};
  RowBuffers row(static_cast<size_t>(f.size));
  const float offset = 0.5f + c.brightness - 0.5f * c.contrast;
  const auto channel = [&](const Plane& in, Plane& out, float tone, int y) {
    const float* a = &in[f.at(0, y)];
    float* o = &out[f.at(0, y)];
    for (size_t x = 0; x < static_cast<size_t>(f.size); ++x)
      o[x] = clamp01((a[x] * row.light[x] * tone + row.shine[x]) * c.contrast + offset);
  };
  for (int y = rows.first; y < rows.last; ++y) {
    slopes(f, y, row);
    light_row(f, c, y, row);
    channel(f.r, p.r, c.tone_r, y), channel(f.g, p.g, c.tone_g, y), channel(f.b, p.b, c.tone_b, y);
  }
  if (c.grey) {
    for (size_t i = f.at(0, rows.first); i < f.at(0, rows.last); ++i)
      p.r[i] = p.g[i] = p.b[i] = luma({p.r[i], p.g[i], p.b[i]});
  }
  if (c.border) darken_border(p, f.size, c.border, rows);
  for (int k = 0; k < c.blur; ++k)
    for (Plane* plane : {&p.r, &p.g, &p.b}) {
      if (c.grey && plane != &p.r) continue;
      binomial_rows(*plane, f.size, rows), binomial_columns(*plane, f.size, rows);
    }
  if (c.grey) p.g = p.r, p.b = p.r;
  if (c.soft_colour && !c.grey) soften_colour(p, f.size, rows);
  return p;
}

Reach reach_of(Rows changed, const Camera& c, int size) {
  // One row for the slope, one a pass of blur; the picture's own edge is treated the same either
  // way.
  const auto widen = [&](Rows r, int by) {
    const int first = (r.first - by) / 2 * 2, last = (r.last + by + 1) / 2 * 2;
    return Rows{first > 0 && r.first > by ? first : 0, last < size ? last : size};
  };
  const Rows affected = widen(changed, 1 + c.blur);
  return {widen(affected, c.blur), affected};
}

void quantise(const Picture& p, const Camera& c, int size, Rows rows, uint8_t* rgb) {
  const SensorNoise noise(c);
  const size_t width = static_cast<size_t>(size);
  Plane line(3 * width);
  for (int y = rows.first; y < rows.last; ++y) {
    const size_t at = static_cast<size_t>(y) * width;
    const size_t from = mix_bits(c.noise_key ^ static_cast<uint64_t>(y)) % SensorNoise::kPeriod;
    const auto channel = [&](const Plane& in, const Plane& grain, float* out) {
      const float* a = &in[at];
      const float* b = &grain[from];
      for (size_t x = 0; x < width; ++x) out[x] = clampf(a[x] * 255.0f + b[x] + 0.5f, 0.0f, 255.0f);
    };
    float* r = line.data();
    float* g = r + width;
    float* b = g + width;
    channel(p.r, noise.r, r), channel(p.g, noise.g, g), channel(p.b, noise.b, b);
    uint8_t* out = rgb + 3 * at;
    for (size_t x = 0; x < width; ++x) {
      out[3 * x] = static_cast<uint8_t>(r[x]);
      out[3 * x + 1] = static_cast<uint8_t>(g[x]);
      out[3 * x + 2] = static_cast<uint8_t>(b[x]);
    }
  }
}

}  // namespace acd::datagen
