// The classical opponent: a map of what differs from the rest of its own picture. No training, no
// text, one picture at a time.
//
//   1. CIE Lab, and for each pixel two groups of features:
//      global: Lab smoothed at two scales, strength of the gradient, local deviation of L and of ab;
//      local:  the same minus their surround (a much wider smoothing): centre-surround differences.
//   2. The Mahalanobis distance of each pixel in each group from the picture's median, under a
//      covariance that is shrunk to its diagonal and estimated twice, the second time without the
//      pixels that were farthest off, so that a defect does not hide itself.
//   3. A weighted mean of both distances, blurred. The picture's score is the map's maximum.
//
// CONSTANTS were chosen by baseline-constants.mjs on generated samples of training classes alone.
// Neither the held-out classes nor a real picture was looked at for them. The search ends at a local
// weight of 1, by less than 0.001 over 0.75; the latter is taken, so that both groups have a say.

/** Lengths are shares of the picture's side. */
export const CONSTANTS = {
  fine: 1.5 / 224,
  coarse: 5 / 224,
  surround: 28 / 224,
  /** How much smaller covariances get against variances. */
  shrinkage: 0.02,
  /** Least deviation of a feature, in Lab units: flat pictures have no outliers made of noise. */
  noiseFloor: 0.5,
  /** Share of the pixels that the second estimate leaves out. */
  trimmed: 0.1,
  /** Weight of the local group. */
  localWeight: 0.75,
  blur: 4 / 224,
  quantile: 1,
};

/**
 * @param {Uint8Array} rgb [side, side, 3]
 * @returns {{ map: Float32Array, score: number }} map [side, side]; distances, 0 and up
 */
export function classicalMap(rgb, side, constants = CONSTANTS) {
  const { global, local } = features(labPlanes(rgb), side, constants);
  const far = distances(global, constants);
  const odd = distances(local, constants);
  const w = constants.localWeight;
  const map = blur(
    far.map((d, i) => (1 - w) * d + w * odd[i]),
    side,
    constants.blur * side,
  );
  return { map, score: quantile(map, constants.quantile) };
}

// ---------------------------------------------------------------------- features

function features([L, a, b], side, { fine, coarse, surround }) {
  const smooth = (plane, scale) => blur(plane, side, scale * side);
  const lab = [L, a, b];
  const fineLab = lab.map((plane) => smooth(plane, fine));
  const coarseLab = lab.map((plane) => smooth(plane, coarse));
  const deviations = [deviation([L], side, coarse * side), deviation([a, b], side, coarse * side)];
  const texture = [gradient(fineLab[0], side), ...deviations];
  const wideLab = lab.map((plane) => smooth(plane, surround));
  const wideTexture = texture.map((plane) => smooth(plane, surround));
  return {
    global: [...fineLab, ...coarseLab, ...texture],
    local: [
      ...fineLab.map((plane, i) => difference(plane, wideLab[i])),
      ...coarseLab.map((plane, i) => difference(plane, wideLab[i])),
      ...texture.map((plane, i) => difference(plane, wideTexture[i])),
    ],
  };
}

const LINEAR = Float32Array.from({ length: 256 }, (_, i) => {
  const v = i / 255;
  return v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4;
});

/** sRGB bytes to L, a, b (D65). */
function labPlanes(rgb) {
  const count = rgb.length / 3;
  const [L, a, b] = [new Float32Array(count), new Float32Array(count), new Float32Array(count)];
  const f = (t) => (t > 216 / 24389 ? Math.cbrt(t) : (24389 / 27 / 116) * t + 16 / 116);
  for (let i = 0; i < count; i++) {
    const [R, G, B] = [LINEAR[rgb[3 * i]], LINEAR[rgb[3 * i + 1]], LINEAR[rgb[3 * i + 2]]];
    const x = f((0.4124564 * R + 0.3575761 * G + 0.1804375 * B) / 0.95047);
    const y = f(0.2126729 * R + 0.7151522 * G + 0.072175 * B);
    const z = f((0.0193339 * R + 0.119192 * G + 0.9503041 * B) / 1.08883);
    L[i] = 116 * y - 16;
    a[i] = 500 * (x - y);
    b[i] = 200 * (y - z);
  }
  return [L, a, b];
}

/** Lab units per pixel, central differences. */
function gradient(plane, side) {
  const out = new Float32Array(plane.length);
  const last = side - 1;
  for (let y = 0; y < side; y++) {
    const [up, down] = [Math.max(y - 1, 0) * side, Math.min(y + 1, last) * side];
    for (let x = 0; x < side; x++) {
      const dx = plane[y * side + Math.min(x + 1, last)] - plane[y * side + Math.max(x - 1, 0)];
      const dy = plane[down + x] - plane[up + x];
      out[y * side + x] = Math.sqrt(dx * dx + dy * dy) / 2;
    }
  }
  return out;
}

/** Standard deviation under a Gaussian window, of all planes together. */
function deviation(planes, side, sigma) {
  const variance = new Float32Array(planes[0].length);
  for (const plane of planes) {
    const mean = blur(plane, side, sigma);
    const square = blur(
      plane.map((v) => v * v),
      side,
      sigma,
    );
    for (let i = 0; i < variance.length; i++) variance[i] += square[i] - mean[i] * mean[i];
  }
  return variance.map((v) => Math.sqrt(Math.max(v, 0)));
}

function difference(a, b) {
  return a.map((v, i) => v - b[i]);
}

/** Gaussian, separable, borders reflected. */
function blur(plane, side, sigma) {
  const radius = Math.min(Math.ceil(3 * sigma), side - 1);
  const taps = Float32Array.from({ length: radius + 1 }, (_, k) =>
    Math.exp((-k * k) / (2 * sigma * sigma)),
  );
  const sum = taps.reduce((total, tap, k) => total + (k === 0 ? tap : 2 * tap), 0);
  for (let k = 0; k <= radius; k++) taps[k] /= sum;
  return blurRowsTransposed(blurRowsTransposed(plane, side, taps), side, taps);
}

/** Rows become columns, so that two calls blur both axes. */
function blurRowsTransposed(plane, side, taps) {
  const radius = taps.length - 1;
  const row = new Float32Array(side + 2 * radius);
  const out = new Float32Array(plane.length);
  for (let y = 0; y < side; y++) {
    row.set(plane.subarray(y * side, (y + 1) * side), radius);
    for (let k = 1; k <= radius; k++) {
      row[radius - k] = row[radius + k];
      row[radius + side - 1 + k] = row[radius + side - 1 - k];
    }
    for (let x = 0; x < side; x++) {
      const centre = x + radius;
      let sum = taps[0] * row[centre];
      for (let k = 1; k <= radius; k++) sum += taps[k] * (row[centre - k] + row[centre + k]);
      out[x * side + y] = sum;
    }
  }
  return out;
}

// ---------------------------------------------------------------------- distances

/** Mahalanobis distance of every pixel over the root of the number of features. */
function distances(planes, { shrinkage, noiseFloor, trimmed }) {
  const count = planes[0].length;
  const centre = planes.map((plane) => quantile(plane, 0.5));
  let d = new Float32Array(count);
  let limit = Infinity;
  for (let round = 0; round < 2; round++) {
    const covariance = shrunk(scatter(planes, centre, d, limit), shrinkage, noiseFloor);
    d = mahalanobis(planes, centre, cholesky(covariance));
    limit = quantile(d, 1 - trimmed);
  }
  return d;
}

/** Mean outer product about the centre, of the pixels whose distance is at most `limit`. */
function scatter(planes, centre, d, limit) {
  const m = planes.length;
  const sums = planes.map(() => new Float64Array(m));
  const v = new Float64Array(m);
  let count = 0;
  for (let i = 0; i < d.length; i++) {
    if (d[i] > limit) continue;
    count++;
    for (let r = 0; r < m; r++) {
      v[r] = planes[r][i] - centre[r];
      for (let c = 0; c <= r; c++) sums[r][c] += v[r] * v[c];
    }
  }
  return sums.map((row) => row.map((sum) => sum / count));
}

/** Off-diagonal elements shrink; the diagonal gains the noise. The lower triangle is all there is. */
function shrunk(covariance, shrinkage, noiseFloor) {
  return covariance.map((row, r) =>
    row.map((value, c) => (r === c ? value + noiseFloor ** 2 : (1 - shrinkage) * value)),
  );
}

/** Lower triangular l with l l^T = the matrix, whose lower triangle is given. */
function cholesky(matrix) {
  const l = matrix.map((row) => new Float64Array(row.length));
  for (let r = 0; r < l.length; r++) {
    for (let c = 0; c <= r; c++) {
      let sum = matrix[r][c];
      for (let k = 0; k < c; k++) sum -= l[r][k] * l[c][k];
      l[r][c] = r === c ? Math.sqrt(sum) : sum / l[c][c];
    }
  }
  return l;
}

/** |l^-1 (x - centre)| / sqrt(features), by forward substitution. */
function mahalanobis(planes, centre, l) {
  const m = planes.length;
  const out = new Float32Array(planes[0].length);
  const z = new Float64Array(m);
  for (let i = 0; i < out.length; i++) {
    let square = 0;
    for (let r = 0; r < m; r++) {
      let value = planes[r][i] - centre[r];
      for (let c = 0; c < r; c++) value -= l[r][c] * z[c];
      z[r] = value / l[r][r];
      square += z[r] * z[r];
    }
    out[i] = Math.sqrt(square / m);
  }
  return out;
}

/** The value below which the share q of all values lies. */
function quantile(values, q) {
  return values.slice().sort()[Math.round(q * (values.length - 1))];
}
