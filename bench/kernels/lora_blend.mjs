// loraBlend: the folded up-projection of one vision group (rank 2 x 16) and of the text (rank 16).
import { uniform } from '../lib/synth.mjs';

export function cases(kernels) {
  return [loraBlend(kernels, 1369, 1024, 32), loraBlend(kernels, 320, 768, 16)];
}

function loraBlend(kernels, rows, width, rank) {
  const x = uniform('x', rows * width, { scale: 2 });
  const y = uniform('y', rows * rank);
  const up = uniform('up', rank * width, { scale: 0.2 });
  const mix = uniform('mix', width, { scale: 0.1, offset: 0.2 });
  const run = () => kernels.loraBlend(x, y, up, mix, rows, width, rank);
  return {
    name: `${rows} x ${width}, rank ${rank}`,
    bound: 'memory',
    flop: rows * width * (2 * rank + 7),
    bytes: 4 * (2 * rows * width + rows * rank + rank * width),
    copied: { in: x.byteLength + y.byteLength + up.byteLength, out: x.byteLength },
    run,
    check() {
      const got = run();
      const checks = [];
      const a = new Float64Array(width);
      for (let r = 0; r < rows; r++) {
        a.fill(0);
        for (let k = 0; k < rank; k++) {
          const factor = y[r * rank + k];
          for (let d = 0; d < width; d++) a[d] += factor * up[k * width + d];
        }
        const row = x.subarray(r * width, (r + 1) * width);
        const scale = Math.sqrt(
          row.reduce((s, v) => s + v * v, 0) / a.reduce((s, v) => s + v * v, 0),
        );
        for (let d = 0; d < width; d++) {
          const expected = (1 - mix[d]) * row[d] + mix[d] * a[d] * scale;
          checks.push({ got: got[r * width + d], expected, allowed: 5e-6 });
        }
      }
      return checks;
    },
  };
}
