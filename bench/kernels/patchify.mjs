// patchify: a normalised 518 x 518 picture to 1369 rows of 3 x 14 x 14.
import { uniform } from '../lib/synth.mjs';

export function cases(kernels) {
  return [patchify(kernels, 518, 14)];
}

function patchify(kernels, size, patch) {
  const image = uniform('image', 3 * size * size, { scale: 2 });
  const grid = size / patch;
  const columns = 3 * patch * patch;
  const run = () => kernels.patchify(image, size, patch);
  return {
    name: `${size} x ${size} in patches of ${patch}`,
    bound: 'memory',
    flop: 0,
    bytes: 2 * image.byteLength,
    copied: { in: image.byteLength, out: image.byteLength },
    run,
    check() {
      return Array.from(run(), (got, i) => {
        const [row, column] = [Math.floor(i / columns), i % columns];
        const [c, inside] = [Math.floor(column / patch ** 2), column % patch ** 2];
        const y = Math.floor(row / grid) * patch + Math.floor(inside / patch);
        const x = (row % grid) * patch + (inside % patch);
        return { got, expected: image[(c * size + y) * size + x], allowed: 0 };
      });
    },
  };
}
