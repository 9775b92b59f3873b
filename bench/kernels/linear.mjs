// linear in the four shapes of a ViT-L block at 518 pixels (1370 rows), with their activations.
// The synchronous kernel packs the weights in every call; a one-row call tells how long that takes.
import { gelu, positions } from '../lib/check.mjs';
import { uniform } from '../lib/synth.mjs';

const SHAPES = [
  ['qkv', 3072, 1024, 'none', false],
  ['proj + residual', 1024, 1024, 'none', true],
  ['fc1 + gelu', 4096, 1024, 'gelu', false],
  ['fc2 + residual', 1024, 4096, 'none', true],
];

export function cases(kernels) {
  return SHAPES.map(([name, n, k, act, add], at) => linear(kernels, { name, n, k, act, add, at }));
}

function linear(kernels, { name, n, k, act, add, at, rows = 1370 }) {
  const x = uniform(`x${at}`, rows * k);
  const w = uniform(`w${at}`, n * k, { scale: Math.sqrt(3 / k) });
  const b = uniform(`b${at}`, n, { scale: 0.1 });
  const residual = add ? uniform(`r${at}`, rows * n) : null;
  const call = (m) =>
    kernels.linear(
      m === rows ? x : x.subarray(0, m * k),
      w,
      b,
      m,
      n,
      k,
      act,
      residual?.subarray(0, m * n) ?? null,
    );
  return {
    name: `${name} ${rows} x ${n} x ${k}`,
    bound: 'compute',
    flop: 2 * rows * n * k,
    bytes: 4 * (rows * k + n * k + rows * n * (add ? 2 : 1)),
    // The one-row call copies and packs the weights as the full one does.
    copied: { in: 4 * rows * (k + (add ? n : 0)), out: 4 * rows * n },
    run: () => call(rows),
    fixedCost: () => call(1),
    check() {
      const y = call(rows);
      return positions(`linear ${at}`, y.length, 4000).map((i) => {
        const [row, column] = [Math.floor(i / n), i % n];
        let sum = b[column];
        let size = Math.abs(sum);
        for (let j = 0; j < k; j++) {
          const term = x[row * k + j] * w[column * k + j];
          sum += term;
          size += Math.abs(term);
        }
        if (act === 'gelu') sum = gelu(sum);
        if (add) sum += residual[i];
        // A plain float32 loop loses about half of this.
        return { got: y[i], expected: sum, allowed: 2 ** -22 * (size + Math.abs(sum)) };
      });
    },
  };
}
