// fuseMap: dots of all groups to the 518 x 518 map, industrial (7 taps) and medical (9 taps).
// The reference keeps the published order: blur and upsample every group's two logits, mean, softmax.
import { uniform } from '../lib/synth.mjs';

const [G, GRID, SIZE] = [4, 37, 518];

export function cases(kernels) {
  return [fuseMap(kernels, 'industrial', 7, 1), fuseMap(kernels, 'medical', 9, 1.5)];
}

function fuseMap(kernels, name, taps, sigma) {
  const dots = uniform('dots', G * GRID * GRID * 2 * G, { scale: 0.3 });
  // Each column of a gate is a softmax over the groups: positive, with sum 1.
  const raw = uniform('gates', G * G * 2, { scale: 0.5, offset: 0.5 });
  const total = (i, c) =>
    Array.from({ length: G }, (_, j) => raw[(i * G + j) * 2 + c]).reduce((a, b) => a + b);
  const gates = raw.map((v, at) => v / total(Math.floor(at / 2 / G), at % 2));
  const run = () => kernels.fuseMap(dots, gates, G, GRID, SIZE, taps, sigma);
  return {
    name: `${name}, G ${G}, ${GRID} to ${SIZE}`,
    bound: 'memory',
    flop: 4 * G * G * GRID * GRID + 4 * taps * GRID * GRID + 10 * SIZE * SIZE,
    bytes: dots.byteLength + 4 * SIZE * SIZE,
    copied: { in: dots.byteLength, out: 4 * SIZE * SIZE },
    run,
    check() {
      const map = run();
      const expected = reference(dots, gates, taps, sigma);
      return Array.from(map, (got, i) => ({ got, expected: expected[i], allowed: 2e-6 }));
    },
  };
}

function reference(dots, gates, taps, sigma) {
  const logits = [new Float64Array(SIZE * SIZE), new Float64Array(SIZE * SIZE)];
  for (let i = 0; i < G; i++) {
    for (const c of [0, 1]) {
      const plane = new Float64Array(GRID * GRID);
      for (let n = 0; n < plane.length; n++) {
        for (let j = 0; j < G; j++) {
          plane[n] +=
            10 * gates[(i * G + j) * 2 + c] * dots[(i * plane.length + n) * 2 * G + 2 * j + c];
        }
      }
      upsample(blur(plane, taps, sigma)).forEach((v, at) => {
        logits[c][at] += v / G;
      });
    }
  }
  return logits[0].map((zero, at) => 1 / (1 + Math.exp(zero - logits[1][at])));
}

function blur(plane, taps, sigma) {
  const weights = Array.from({ length: taps }, (_, k) =>
    Math.exp(-0.5 * ((k - (taps >> 1)) / sigma) ** 2),
  );
  const total = weights.reduce((a, b) => a + b);
  const reflect = (i) => (i < 0 ? -i : i >= GRID ? 2 * (GRID - 1) - i : i);
  const pass = (from, step, other) => {
    const to = new Float64Array(from.length);
    for (let a = 0; a < GRID; a++) {
      for (let b = 0; b < GRID; b++) {
        weights.forEach((w, k) => {
          to[a * other + b * step] +=
            (w / total) * from[a * other + reflect(b + k - (taps >> 1)) * step];
        });
      }
    }
    return to;
  };
  return pass(pass(plane, 1, GRID), GRID, 1);
}

function upsample(plane) {
  const step = (GRID - 1) / (SIZE - 1);
  return new Float64Array(SIZE * SIZE).map((_, at) => {
    const [fy, fx] = [Math.floor(at / SIZE) * step, (at % SIZE) * step];
    const [y, x] = [Math.min(GRID - 2, Math.floor(fy)), Math.min(GRID - 2, Math.floor(fx))];
    const [wy, wx] = [fy - y, fx - x];
    const across = (row) => (1 - wx) * plane[row * GRID + x] + wx * plane[row * GRID + x + 1];
    return (1 - wy) * across(y) + wy * across(y + 1);
  });
}
