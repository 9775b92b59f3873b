// convTokens: the two convolutions of a Conv-LoRA block on the 37 x 37 grid, dense and depthwise.
import { uniform } from '../lib/synth.mjs';

export function cases(kernels) {
  return [
    convTokens(kernels, 37, 16, 8, 3, 1),
    convTokens(kernels, 37, 8, 16, 3, 1),
    convTokens(kernels, 37, 16, 8, 5, 1),
    convTokens(kernels, 37, 8, 16, 5, 1),
    convTokens(kernels, 37, 16, 16, 5, 16),
  ];
}

function convTokens(kernels, grid, cIn, cOut, k, groups) {
  const [perIn, perOut] = [cIn / groups, cOut / groups];
  const z = uniform('z', grid * grid * cIn);
  const w = uniform('w', cOut * perIn * k * k, { scale: 0.3 });
  const run = () => kernels.convTokens(z, w, grid, cIn, cOut, k, groups);
  return {
    name: `${cIn} to ${cOut}, ${k} x ${k}${groups > 1 ? ', depthwise' : ''}, g ${grid}`,
    bound: 'compute',
    flop: 2 * grid * grid * cOut * perIn * k * k,
    bytes: 4 * grid * grid * (cIn + cOut),
    copied: { in: z.byteLength + w.byteLength, out: 4 * grid * grid * cOut },
    run,
    check() {
      const y = run();
      return Array.from(y, (got, at) => {
        const [token, o] = [Math.floor(at / cOut), at % cOut];
        const group = Math.floor(o / perOut);
        let [expected, size] = [0, 0];
        for (let tap = 0; tap < k * k; tap++) {
          const row = Math.floor(token / grid) + Math.floor(tap / k) - (k >> 1);
          const column = (token % grid) + (tap % k) - (k >> 1);
          if (row < 0 || row >= grid || column < 0 || column >= grid) continue;
          for (let i = 0; i < perIn; i++) {
            const value = z[(row * grid + column) * cIn + group * perIn + i];
            const term = value * w[(o * perIn + i) * k * k + tap];
            expected += term;
            size += Math.abs(term);
          }
        }
        return { got, expected, allowed: 2 ** -22 * size };
      });
    },
  };
}
