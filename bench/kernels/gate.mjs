// gate: one token through the fusion gate of ViT-L's four groups. A few microseconds, on one thread.
import { gelu } from '../lib/check.mjs';
import { uniform } from '../lib/synth.mjs';

export function cases(kernels) {
  return [gate(kernels, 768, 256, 4)];
}

function gate(kernels, width, hidden, groups) {
  const mean = uniform('mean', width);
  const w1 = uniform('w1', hidden * width, { scale: Math.sqrt(3 / width) });
  const b1 = uniform('b1', hidden, { scale: 0.05 });
  const w2 = uniform('w2', 2 * groups * hidden, { scale: Math.sqrt(3 / hidden) });
  const b2 = uniform('b2', 2 * groups, { scale: 0.05 });
  const run = () => kernels.gate(mean, w1, b1, w2, b2, width, hidden, groups);
  const bytes = w1.byteLength + w2.byteLength;
  return {
    name: `${width} > ${hidden} > ${2 * groups}`,
    bound: 'memory',
    flop: bytes / 2,
    bytes,
    copied: { in: bytes, out: 8 * groups },
    run,
    check() {
      const product = (w, b, x, i) => x.reduce((sum, v, k) => sum + w[i * x.length + k] * v, b[i]);
      const h = Array.from(b1, (_, i) => gelu(product(w1, b1, Array.from(mean), i)));
      const e = Array.from(b2, (_, i) => Math.exp(product(w2, b2, h, i)));
      return Array.from(run(), (got, i) => {
        let total = 0;
        for (let j = i % 2; j < e.length; j += 2) total += e[j];
        return { got, expected: e[i] / total, allowed: 2e-6 };
      });
    },
  };
}
