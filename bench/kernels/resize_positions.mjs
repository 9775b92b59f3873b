// resizePositions: ViT-L's stored 24 x 24 grid for 37 x 37 patches, and for a smaller one. Runs once a
// load, so it is plain code on one thread.
import { cubic, positions } from '../lib/check.mjs';
import { uniform } from '../lib/synth.mjs';

const WIDTH = 1024;

export function cases(kernels) {
  return [resizePositions(kernels, 24, 37), resizePositions(kernels, 24, 16)];
}

function resizePositions(kernels, old, grid) {
  const pos = uniform('pos', (1 + old * old) * WIDTH, { scale: 0.2 });
  const run = () => kernels.resizePositions(pos, old, grid, WIDTH);
  const scale = old / grid;
  const share = (j, i) => cubic((j + 0.5 - scale * (i + 0.5)) / Math.max(1, scale));
  return {
    name: `${old} to ${grid}, ${WIDTH} wide`,
    bound: 'memory',
    flop: 2 * 4 * Math.max(1, scale) * (old * grid + grid * grid) * WIDTH,
    bytes: 4 * WIDTH * (old * old + grid * grid),
    copied: { in: pos.byteLength, out: 4 * (1 + grid * grid) * WIDTH },
    run,
    check() {
      const out = run();
      return positions('positions', grid * grid * WIDTH, 3000).map((at) => {
        const [i, d] = [Math.floor(at / WIDTH), at % WIDTH];
        let [sum, total] = [0, 0];
        for (let j = 0; j < old * old; j++) {
          const w = share(Math.floor(j / old), Math.floor(i / grid)) * share(j % old, i % grid);
          sum += w * pos[(1 + j) * WIDTH + d];
          total += w;
        }
        return { got: out[at + WIDTH], expected: sum / total, allowed: 2e-7 };
      });
    },
  };
}
