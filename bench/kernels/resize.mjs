// resizeBicubic (u8, as Pillow), resizeNearest (u8) and resizeMap (f32, bilinear): camera picture to
// model input, and the map back to the picture. One thread: a caller splits rows.
import { cubic, positions } from '../lib/check.mjs';
import { picture, uniform } from '../lib/synth.mjs';

export function cases(kernels) {
  return [
    resizeBicubic(kernels, 1024, 1024, 518, 518),
    resizeBicubic(kernels, 2048, 1536, 518, 518),
    resizeBicubic(kernels, 320, 240, 518, 518),
    resizeNearest(kernels, 1024, 1024, 518, 518),
    resizeMap(kernels, 518, 518, 1024, 1024),
  ];
}

function resizeBicubic(kernels, w, h, dw, dh) {
  const src = picture('resize', w, h);
  const run = () => kernels.resizeBicubic(src, w, h, 3, dw, dh);
  const taps = (from, to) => 4 * Math.max(1, from / to);
  return {
    name: `bicubic ${w} x ${h} to ${dw} x ${dh}, RGB8`,
    bound: 'memory',
    flop: 2 * 3 * (dw * h * taps(w, dw) + dw * dh * taps(h, dh)),
    bytes: 3 * (w * h + dw * dh),
    copied: { in: src.byteLength, out: 3 * dw * dh },
    run,
    check() {
      const out = run();
      return positions('bicubic', out.length, 3000).map((at) => {
        const [y, x, c] = [Math.floor(at / 3 / dw), Math.floor(at / 3) % dw, at % 3];
        const across = (row) => bicubic(x, w, dw, (column) => src[(row * w + column) * 3 + c]);
        return { got: out[at], expected: bicubic(y, h, dh, across), allowed: 0 };
      });
    },
  };
}

/** One output of one axis in Pillow's fixed point. */
export function bicubic(i, from, to, read) {
  if (from === to) return read(i);
  const scale = from / to;
  const stretch = Math.max(1, scale);
  const centre = (i + 0.5) * scale;
  const low = Math.max(0, Math.trunc(centre - 2 * stretch + 0.5));
  const high = Math.min(from, Math.trunc(centre + 2 * stretch + 0.5));
  const weights = [];
  for (let j = low; j < high; j++) weights.push(cubic((j - centre + 0.5) / stretch));
  const total = weights.reduce((a, b) => a + b, 0);
  let sum = 2 ** 21;
  weights.forEach((weight, j) => {
    const exact = (weight / total) * 2 ** 22;
    sum += Math.sign(exact) * Math.floor(Math.abs(exact) + 0.5) * read(low + j);
  });
  return Math.max(0, Math.min(255, Math.floor(sum / 2 ** 22)));
}

function resizeNearest(kernels, w, h, dw, dh) {
  const src = picture('resize', w, h);
  const run = () => kernels.resizeNearest(src, w, h, 3, dw, dh);
  return {
    name: `nearest ${w} x ${h} to ${dw} x ${dh}, RGB8`,
    bound: 'memory',
    flop: 0,
    bytes: 3 * 2 * dw * dh,
    copied: { in: src.byteLength, out: 3 * dw * dh },
    run,
    check() {
      const out = run();
      return positions('nearest', out.length, 3000).map((at) => {
        const y = nearest(Math.floor(at / 3 / dw), h, dh);
        const x = nearest(Math.floor(at / 3) % dw, w, dw);
        return { got: out[at], expected: src[(y * w + x) * 3 + (at % 3)], allowed: 0 };
      });
    },
  };
}

/** Pillow adds the step up, which decides ties. */
function nearest(i, from, to) {
  let position = (from / to) * 0.5;
  for (let k = 0; k < i; k++) position += from / to;
  return Math.min(from - 1, Math.floor(position));
}

function resizeMap(kernels, w, h, dw, dh) {
  const src = uniform('map', w * h, { scale: 0.5, offset: 0.5 });
  const run = () => kernels.resizeMap(src, w, h, dw, dh);
  const place = (i, from, to) => Math.min(from - 1, Math.max(0, ((i + 0.5) * from) / to - 0.5));
  return {
    name: `map ${w} x ${h} to ${dw} x ${dh}`,
    bound: 'memory',
    flop: 6 * dw * dh,
    bytes: 4 * (w * h + dw * dh),
    copied: { in: src.byteLength, out: 4 * dw * dh },
    run,
    check() {
      const out = run();
      return positions('map', out.length, 20_000).map((at) => {
        const [fy, fx] = [place(Math.floor(at / dw), h, dh), place(at % dw, w, dw)];
        const [y, x] = [Math.floor(fy), Math.floor(fx)];
        const across = (row) => {
          const [a, b] = [src[row * w + x], src[row * w + Math.min(w - 1, x + 1)]];
          return a + (b - a) * (fx - x);
        };
        const [top, bottom] = [across(y), across(Math.min(h - 1, y + 1))];
        return { got: out[at], expected: top + (bottom - top) * (fy - y), allowed: 5e-7 };
      });
    },
  };
}
