// preprocess: RGB8 picture to the normalised [3, S, S] input. One thread.
import { positions } from '../lib/check.mjs';
import { picture } from '../lib/synth.mjs';
import { bicubic } from './resize.mjs';

const MEAN = [0.48145466, 0.4578275, 0.40821073];
const STD = [0.26862954, 0.26130258, 0.27577711];

export function cases(kernels) {
  return [preprocess(kernels, 640, 480, 518), preprocess(kernels, 1024, 1024, 518)];
}

function preprocess(kernels, w, h, size) {
  const src = picture('preprocess', w, h);
  const run = () => kernels.preprocess(src, w, h, size);
  return {
    name: `${w} x ${h} to 3 x ${size} x ${size}`,
    bound: 'memory',
    flop: 0,
    bytes: 3 * w * h + 4 * 3 * size * size,
    copied: { in: src.byteLength, out: 4 * 3 * size * size },
    run,
    check() {
      const out = run();
      return positions('preprocess', out.length, 3000).map((at) => {
        const c = Math.floor(at / size / size);
        const [y, x] = [Math.floor(at / size) % size, at % size];
        const across = (row) => bicubic(x, w, size, (column) => src[(row * w + column) * 3 + c]);
        const byte = bicubic(y, h, size, across);
        return { got: out[at], expected: (byte / 255 - MEAN[c]) / STD[c], allowed: 5e-7 };
      });
    },
  };
}
