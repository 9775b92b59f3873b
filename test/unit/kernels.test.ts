// Every op of the backend is callable from JavaScript, and does what its contract says. The ops with
// large inner loops are held against their references natively; here are the small ones.
import { readdirSync, readFileSync } from 'node:fs';
import * as path from 'node:path';
import { kernels, listDevices } from '../../lib';
import { uniform } from './../helpers/synth';

const values = (name: string, n: number) => uniform(`kernels.${name}`, [n], 1, 1);
const dot = (a: Float32Array, i: number, b: Float32Array, j: number, n: number) => {
  let sum = 0;
  for (let k = 0; k < n; k++) sum += a[i + k]! * b[j + k]!;
  return sum;
};
const expectClose = (actual: Float32Array, expected: number[]) => {
  expect(actual).toHaveLength(expected.length);
  for (const [i, v] of expected.entries()) expect(actual[i]).toBeCloseTo(v, 5);
};

test('every folder of native/ops is a kernel', () => {
  const folders = readdirSync(path.join(__dirname, '..', '..', 'native', 'ops'));
  const expected = folders.flatMap((op) =>
    op === 'resize'
      ? ['resizeBicubic', 'resizeNearest', 'resizeMap']
      : [op.replace(/_(.)/g, (_, c: string) => c.toUpperCase())],
  );
  expect(Object.keys(kernels).sort()).toEqual(expected.sort());
});

const bf16Of = (v: Float32Array) =>
  Uint16Array.from(
    new Uint32Array(v.buffer),
    (bits) => (bits + 0x7fff + ((bits >> 16) & 1)) >>> 16,
  );
const widened = (v: Uint16Array) => new Float32Array(Uint32Array.from(v, (h) => h << 16).buffer);
const multipliesBf16 = listDevices()[0]!.precisions.some((p) => p.name === 'bf16' && p.available);
/** Largest difference over the largest expected value. */
const apart = (actual: Float32Array, expected: Float32Array) =>
  Math.max(...actual.map((v, i) => Math.abs(v - expected[i]!))) /
  Math.max(...expected.map(Math.abs));

test('layerNorm rounds its result to bf16 when asked', () => {
  const [x, w, b] = [values('x', 6 * 40), values('w', 40), values('b', 40)];
  const short: Uint16Array = kernels.layerNorm(x, w, b, 6, 40, 'bf16');
  expect(short).toEqual(bf16Of(kernels.layerNorm(x, w, b, 6, 40)));
});

(multipliesBf16 ? test : test.skip)('linear and attention take and give bf16', () => {
  const [x, w, b] = [values('x', 6 * 40), values('w', 8 * 40), values('b', 8)];
  const [x16, w16] = [bf16Of(x), widened(bf16Of(w))];
  const exact = kernels.linear(widened(x16), w16, b, 6, 8, 40, 'gelu', null);
  const y = kernels.linear(x16, w, b, 6, 8, 40, 'gelu', null) as Uint16Array;
  expect(y.constructor.name).toBe('Uint16Array'); // of another realm here
  // One rounding of the result.
  expect(apart(widened(y), exact)).toBeLessThan(1.01 * 2 ** -8);
  const residual = values('residual', 6 * 8);
  const sum = kernels.linear(x16, w, b, 6, 8, 40, 'none', residual) as Float32Array;
  expect(sum.constructor.name).toBe('Float32Array');
  expect(apart(sum, kernels.linear(widened(x16), w16, b, 6, 8, 40, 'none', residual))).toBeLessThan(
    1e-6,
  );
  const qkv = bf16Of(values('qkv', 5 * 3 * 64));
  const attended = kernels.attention(qkv, 5, 1, false);
  const wide = kernels.attention(widened(qkv), 5, 1, false);
  // The weights of the keys are rounded too.
  expect(apart(widened(attended), wide)).toBeLessThan(3 * 2 ** -8);
});

test('patchify lays patches out as rows of channel, y, x', () => {
  const image = Float32Array.from({ length: 3 * 4 * 4 }, (_, i) => i);
  const rows = kernels.patchify(image, 4, 2);
  expect([...rows.subarray(0, 12)]).toEqual([0, 1, 4, 5, 16, 17, 20, 21, 32, 33, 36, 37]);
  expect([...rows.subarray(12, 16)]).toEqual([2, 3, 6, 7]);
});

test('assembleTokens puts the class first and adds positions', () => {
  const [x, cls, positions] = [values('x', 6), values('cls', 2), values('positions', 6)];
  const out = kernels.assembleTokens(x, cls, positions, 3, 2);
  expectClose(
    out,
    [0, 1, 2, 3, 4, 5].map((i) => (i < 2 ? cls[i]! : x[i]!) + positions[i]!),
  );
});

test('gatherTokens looks ids up and refuses those outside the table', () => {
  const [table, positions] = [values('table', 10), values('text positions', 4)];
  const out = kernels.gatherTokens(new Int32Array([4, 1]), table, positions, 2, 5, 2);
  expectClose(
    out,
    [8, 9, 2, 3].map((at, i) => table[at]! + positions[i]!),
  );
  expect(() => kernels.gatherTokens(new Int32Array([5, 1]), table, positions, 2, 5, 2)).toThrow(
    expect.objectContaining({ code: 'ERR_ACD_INVALID_ARG' }),
  );
});

test('gatherTokens computes a table from its seed, bit for bit as the reference', () => {
  const fixture = path.join(__dirname, '..', 'fixtures', 'text', 'seeded-rows.json');
  const { rows } = JSON.parse(readFileSync(fixture, 'utf8')) as {
    rows: { seed: number; width: number; row: number; hex: string }[];
  };
  expect(rows.length).toBeGreaterThan(5);
  for (const { seed, width, row, hex } of rows) {
    const none = new Float32Array(width);
    const out = kernels.gatherTokens(new Int32Array([row]), seed, none, 1, 49408, width);
    expect(Buffer.from(out.buffer).toString('hex')).toBe(hex);
  }
});

test('gatherTokens refuses a seed that is no uint32', () => {
  for (const seed of [-1, 0.5, 2 ** 32, Number.NaN]) {
    const call = () =>
      kernels.gatherTokens(new Int32Array([0]), seed, new Float32Array(2), 1, 5, 2);
    expect(call).toThrow(expect.objectContaining({ code: 'ERR_ACD_INVALID_ARG' }));
  }
});

test('head gives unit vectors, their mean and their dots with the text', () => {
  const [N, k, E, columns] = [5, 8, 16, 3];
  const [h, w, b] = [values('h', N * k), values('w', E * k), values('b', E)];
  const [scale, shift, text] = [
    values('scale', E),
    values('shift', E),
    values('text', columns * E),
  ];
  const out = kernels.head(h, w, b, scale, shift, text, N, k, E, columns);
  const expected = Array.from({ length: N }, (_, t) => {
    const y = Array.from({ length: E }, (_, e) => b[e]! + dot(h, t * k, w, e * k, k));
    const mean = y.reduce((s, v) => s + v, 0) / E;
    const deviation = Math.sqrt(y.reduce((s, v) => s + (v - mean) ** 2, 0) / E + 1e-5);
    const v = y.map((u, e) => ((u - mean) / deviation) * scale[e]! + shift[e]!);
    const length = Math.hypot(...v);
    return v.map((u) => u / length);
  });
  expectClose(out.vectors, expected.flat());
  expectClose(
    out.mean,
    Array.from({ length: E }, (_, e) => expected.reduce((s, v) => s + v[e]!, 0) / N),
  );
  expectClose(
    out.dots,
    expected.flatMap((v) =>
      Array.from({ length: columns }, (_, c) => dot(Float32Array.from(v), 0, text, c * E, E)),
    ),
  );
});

test('gate sums to one over the groups, for each column', () => {
  const [E, H, G] = [8, 6, 4];
  const out = kernels.gate(
    values('mean', E),
    values('w1', H * E),
    values('b1', H),
    values('w2', 2 * G * H),
    values('b2', 2 * G),
    E,
    H,
    G,
  );
  for (const column of [0, 1]) {
    const sum = Array.from({ length: G }, (_, g) => out[2 * g + column]!).reduce(
      (s, v) => s + v,
      0,
    );
    expect(sum).toBeCloseTo(1, 6);
  }
});

test('quantize gives codes of the whole range, and linear multiplies them', () => {
  const [rows, k, n] = [3, 13, 5];
  const [x, w, b] = [values('qx', rows * k), values('qw', n * k), values('qb', n)];
  const { codes, scales } = kernels.quantize(x, rows, k);
  const back = Float32Array.from(codes, (code, i) => {
    const row = Math.floor(i / k);
    return scales[2 * row + 1]! + scales[2 * row]! * code;
  });
  for (const [i, v] of x.entries()) {
    expect(Math.abs(back[i]! - v)).toBeLessThan(0.501 * scales[2 * Math.floor(i / k)]!);
  }
  const multiply = () => kernels.linear(codes, w, b, rows, n, k, 'none', null, scales);
  if (!listDevices()[0]!.precisions.find((p) => p.name === 'int8')!.available) {
    expect(multiply).toThrow(expect.objectContaining({ code: 'ERR_ACD_UNSUPPORTED' }));
    return;
  }
  for (const [i, got] of multiply().entries()) {
    const [row, column] = [Math.floor(i / n), i % n];
    const weights = w.subarray(column * k, (column + 1) * k);
    const scale = Math.max(...weights.map(Math.abs)) / 127;
    const rounded = weights.map((v) => scale * Math.round(v / scale));
    expect(got).toBeCloseTo(dot(back, row * k, rounded, 0, k) + b[column]!, 4);
  }
});
