// regions of a 518 x 518 map: smooth blobs as a model gives them, and noise as the worst case. One thread.
import { uniform } from '../lib/synth.mjs';

const SIZE = 518;

export function cases(kernels) {
  return [
    regions(kernels, 'blobs', blobs(), 0.6, 1),
    regions(kernels, 'noise', uniform('noise', SIZE * SIZE, { scale: 0.5, offset: 0.5 }), 0.7, 4),
  ];
}

function blobs() {
  const places = uniform('blobs', 90, { scale: 0.5, offset: 0.5 });
  const grain = uniform('grain', SIZE * SIZE, { scale: 0.02 });
  return grain.map((v, at) => {
    let value = 0.2 + v;
    for (let b = 0; b < 90; b += 3) {
      const [dx, dy] = [
        (at % SIZE) / SIZE - places[b],
        Math.floor(at / SIZE) / SIZE - places[b + 1],
      ];
      value += 0.6 * Math.exp(-(dx * dx + dy * dy) / (2 * (0.004 + 0.03 * places[b + 2]) ** 2));
    }
    return Math.min(1, value);
  });
}

function regions(kernels, name, map, threshold, minArea) {
  const run = () => kernels.regions(map, SIZE, SIZE, threshold, minArea);
  return {
    name: `${name}, ${SIZE} x ${SIZE}`,
    bound: 'memory',
    flop: 0,
    bytes: 2 * map.byteLength,
    copied: { in: map.byteLength, out: 0 },
    run,
    check() {
      const found = run();
      const expected = flood(map, Math.fround(threshold), minArea).slice(0, 1000);
      const checks = [{ got: found.length, expected: expected.length, allowed: 0 }];
      expected.forEach((region, i) => {
        for (const key of ['area', 'score', 'x', 'y', 'width', 'height']) {
          checks.push({ got: found[i]?.[key], expected: region[key], allowed: 0 });
        }
        for (const key of ['mean', 'cx', 'cy']) {
          checks.push({ got: found[i]?.[key], expected: region[key], allowed: 1e-9 * SIZE });
        }
      });
      return checks;
    },
  };
}

/** Every region by flooding from its first pixel; greatest value, then area, then row order. */
function flood(map, threshold, minArea) {
  const seen = new Uint8Array(map.length);
  const all = [];
  for (let start = 0; start < map.length; start++) {
    if (seen[start] || !(map[start] >= threshold)) continue;
    const pixels = [start];
    seen[start] = 1;
    for (let i = 0; i < pixels.length; i++) {
      const [x, y] = [pixels[i] % SIZE, Math.floor(pixels[i] / SIZE)];
      for (let ny = Math.max(0, y - 1); ny <= Math.min(SIZE - 1, y + 1); ny++) {
        for (let nx = Math.max(0, x - 1); nx <= Math.min(SIZE - 1, x + 1); nx++) {
          const next = ny * SIZE + nx;
          if (seen[next] || !(map[next] >= threshold)) continue;
          seen[next] = 1;
          pixels.push(next);
        }
      }
    }
    if (pixels.length >= minArea) all.push(measure(map, pixels, start));
  }
  return all.sort((a, b) => b.score - a.score || b.area - a.area || a.first - b.first);
}

function measure(map, pixels, first) {
  const xs = pixels.map((p) => p % SIZE);
  const ys = pixels.map((p) => Math.floor(p / SIZE));
  const least = (v) => v.reduce((a, b) => Math.min(a, b));
  const most = (v) => v.reduce((a, b) => Math.max(a, b));
  const mean = (v) => v.reduce((a, b) => a + b, 0) / v.length;
  return {
    first,
    area: pixels.length,
    score: most(pixels.map((p) => map[p])),
    mean: mean(pixels.map((p) => map[p])),
    x: least(xs),
    y: least(ys),
    width: most(xs) - least(xs) + 1,
    height: most(ys) - least(ys) + 1,
    cx: mean(xs) + 0.5,
    cy: mean(ys) + 0.5,
  };
}
