// attention at the token counts of ViT-L/14: 518 pixels, 336 pixels, and a causal batch-less text row.
import { positions } from '../lib/check.mjs';
import { uniform } from '../lib/synth.mjs';

const HEAD = 64;

export function cases(kernels) {
  return [
    attention(kernels, 'T 1370, 16 heads', 1370, 16, false),
    attention(kernels, 'T 577, 16 heads', 577, 16, false),
    attention(kernels, 'causal T 77, 12 heads', 77, 12, true),
  ];
}

function attention(kernels, name, tokens, heads, causal) {
  const width = heads * HEAD;
  // Scores of a few units: a softmax that is neither flat nor one-hot.
  const qkv = uniform(`qkv ${name}`, tokens * 3 * width, { scale: 2 });
  const run = () => kernels.attention(qkv, tokens, heads, causal);
  return {
    name,
    bound: 'compute',
    // Without the masked half, which no implementation needs to compute.
    flop: (4 * tokens * tokens * width) / (causal ? 2 : 1),
    bytes: 4 * tokens * 4 * width,
    copied: { in: qkv.byteLength, out: 4 * tokens * width },
    run,
    check() {
      const out = run();
      return positions(name, tokens * heads, 60).flatMap((at) => {
        const [i, h] = [Math.floor(at / heads), at % heads];
        const expected = row(qkv, { i, h, tokens, width, causal });
        return expected.map((value, d) => ({
          got: out[i * width + h * HEAD + d],
          expected: value,
          allowed: 2e-6 * 2,
        }));
      });
    },
  };
}

function row(qkv, { i, h, tokens, width, causal }) {
  const at = (token, part) => token * 3 * width + part * width + h * HEAD;
  const last = causal ? i + 1 : tokens;
  const scores = Array.from({ length: last }, (_, j) => {
    let dot = 0;
    for (let d = 0; d < HEAD; d++) dot += qkv[at(i, 0) + d] * qkv[at(j, 1) + d];
    return dot / 8;
  });
  const top = Math.max(...scores);
  const weights = scores.map((s) => Math.exp(s - top));
  const total = weights.reduce((a, b) => a + b, 0);
  return Array.from({ length: HEAD }, (_, d) =>
    weights.reduce((sum, p, j) => sum + (p / total) * qkv[at(j, 2) + d], 0),
  );
}
