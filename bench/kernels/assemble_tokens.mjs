// assembleTokens: class token and positions of ViT-L/14 at 518.
import { uniform } from '../lib/synth.mjs';

export function cases(kernels) {
  return [assembleTokens(kernels, 1370, 1024)];
}

function assembleTokens(kernels, tokens, width) {
  const x = uniform('x', tokens * width);
  const cls = uniform('cls', width);
  const positions = uniform('positions', tokens * width, { scale: 0.2 });
  const run = () => kernels.assembleTokens(x, cls, positions, tokens, width);
  return {
    name: `${tokens} x ${width}`,
    bound: 'memory',
    flop: tokens * width,
    bytes: 3 * x.byteLength,
    copied: { in: 2 * x.byteLength, out: x.byteLength },
    run,
    check() {
      return Array.from(run(), (got, i) => {
        const expected = (i < width ? cls[i] : x[i]) + positions[i];
        return { got, expected, allowed: 2 ** -23 };
      });
    },
  };
}
