// layerNorm over the tokens of one picture: ViT-L's width, and the heads' 768.
import { uniform } from '../lib/synth.mjs';

export function cases(kernels) {
  return [layerNorm(kernels, 1370, 1024), layerNorm(kernels, 1369, 768)];
}

function layerNorm(kernels, rows, width) {
  const x = uniform('x', rows * width, { scale: 3, offset: 0.5 });
  const weight = uniform('weight', width, { scale: 0.25, offset: 1 });
  const bias = uniform('bias', width, { scale: 0.1 });
  const run = () => kernels.layerNorm(x, weight, bias, rows, width);
  return {
    name: `${rows} x ${width}`,
    bound: 'memory',
    flop: 8 * rows * width,
    bytes: 4 * 2 * rows * width,
    copied: { in: x.byteLength, out: x.byteLength },
    run,
    check() {
      const y = run();
      const checks = [];
      for (let r = 0; r < rows; r++) {
        const row = x.subarray(r * width, (r + 1) * width);
        const mean = row.reduce((a, b) => a + b, 0) / width;
        const variance = row.reduce((a, b) => a + (b - mean) ** 2, 0) / width;
        const scale = 1 / Math.sqrt(variance + 1e-5);
        for (let i = 0; i < width; i++) {
          const expected = (row[i] - mean) * scale * weight[i] + bias[i];
          checks.push({ got: y[r * width + i], expected, allowed: 4e-6 });
        }
      }
      return checks;
    },
  };
}
