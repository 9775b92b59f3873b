// head: the second product of a ViT-L head with its norms, and the dots with four groups' text.
import { positions } from '../lib/check.mjs';
import { uniform } from '../lib/synth.mjs';

export function cases(kernels) {
  return [head(kernels, 1369, 256, 768, 8)];
}

function head(kernels, tokens, k, width, columns) {
  const h = uniform('h', tokens * k);
  const w = uniform('w', width * k, { scale: Math.sqrt(3 / k) });
  const b = uniform('b', width, { scale: 0.05 });
  const weight = uniform('weight', width, { scale: 0.25, offset: 1 });
  const bias = uniform('bias', width, { scale: 0.1 });
  const text = uniform('text', columns * width, { scale: Math.sqrt(3 / width) });
  const run = (t = tokens) =>
    kernels.head(h.subarray(0, t * k), w, b, weight, bias, text, t, k, width, columns);
  return {
    name: `${tokens} x ${width} x ${k}, ${columns} columns`,
    bound: 'compute',
    flop: 2 * tokens * width * (k + columns),
    bytes: 4 * (tokens * (k + width + columns) + width * k),
    copied: { in: h.byteLength, out: 4 * tokens * (width + columns) },
    run: () => run(),
    // The weights are packed in every call.
    fixedCost: () => run(1),
    check() {
      const { vectors, dots, mean } = run();
      const rows = positions('head', tokens, 40);
      const checks = rows.flatMap((t) => {
        const v = vector(t);
        return [
          ...v.map((expected, i) => ({ got: vectors[t * width + i], expected, allowed: 1e-6 })),
          ...Array.from({ length: columns }, (_, c) => ({
            got: dots[t * columns + c],
            expected: v.reduce((sum, x, i) => sum + x * text[c * width + i], 0),
            allowed: 2e-6,
          })),
        ];
      });
      for (let i = 0; i < width; i++) {
        let sum = 0;
        for (let t = 0; t < tokens; t++) sum += vectors[t * width + i];
        checks.push({ got: mean[i], expected: sum / tokens, allowed: 1e-6 });
      }
      return checks;
    },
  };

  function vector(t) {
    const v = Array.from({ length: width }, (_, i) => {
      let sum = b[i];
      for (let j = 0; j < k; j++) sum += h[t * k + j] * w[i * k + j];
      return sum;
    });
    const mean = v.reduce((a, x) => a + x, 0) / width;
    const variance = v.reduce((a, x) => a + (x - mean) ** 2, 0) / width;
    const normed = v.map((x, i) => ((x - mean) / Math.sqrt(variance + 1e-5)) * weight[i] + bias[i]);
    const length = Math.hypot(...normed);
    return normed.map((x) => x / length);
  }
}
