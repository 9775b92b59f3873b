// quantize over the tokens of one picture: what attention gives, and the MLP's inside.
import { positions } from '../lib/check.mjs';
import { uniform } from '../lib/synth.mjs';

export function cases(kernels) {
  return [quantize(kernels, 1370, 1024), quantize(kernels, 1370, 4096)];
}

function quantize(kernels, rows, width) {
  const x = uniform(`x${width}`, rows * width, { scale: 3 });
  const run = () => kernels.quantize(x, rows, width);
  return {
    name: `${rows} x ${width}, f32`,
    bound: 'memory',
    flop: 4 * x.length,
    bytes: 5 * x.length + 8 * rows,
    copied: { in: 4 * x.length, out: x.length + 8 * rows },
    run,
    check() {
      const { codes, scales } = run();
      return positions(`quantize ${width}`, x.length, 4000).map((i) => {
        const [scale, low] = scales.subarray(2 * Math.floor(i / width));
        const allowed = scale * (0.5 + 2 ** -13) + 2 ** -23 * Math.abs(x[i]);
        return { got: low + scale * codes[i], expected: x[i], allowed };
      });
    },
  };
}
