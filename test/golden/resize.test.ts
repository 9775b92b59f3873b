// Pillow's resize, byte for byte.
import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import * as path from 'node:path';
import { kernels } from '../../lib';
import { uniform } from '../helpers/synth';

interface Case {
  case: number;
  src: [number, number];
  dst: [number, number];
  bicubic_sha256: string;
  nearest_ch0_sha256: string;
}
const file = path.join(__dirname, '..', 'fixtures', 'goldens', 'resize.json');
const { seed, cases } = JSON.parse(readFileSync(file, 'utf8')) as { seed: number; cases: Case[] };

function picture(k: number, w: number, h: number): Uint8Array {
  const u = uniform(`resize.${k}`, [h, w, 3], seed, 0.5, 0.5);
  const pixels = Uint8Array.from(u, (v) => Math.min(Math.floor(v * 256), 255));
  for (let y = Math.floor(h / 3); y < Math.floor(h / 2) + 1; y++) {
    for (let x = Math.floor(w / 4); x < Math.floor(w / 2) + 1; x++) {
      if (y < h && x < w) pixels.set([255, 0, 128], (y * w + x) * 3);
    }
  }
  return pixels;
}
const sha256 = (bytes: Uint8Array) => createHash('sha256').update(bytes).digest('hex');

it.each(cases)('resizes case $case, $src to $dst, as Pillow does', (c) => {
  const [w, h] = c.src;
  const [dw, dh] = c.dst;
  const rgb = picture(c.case, w, h);
  expect(sha256(kernels.resizeBicubic(rgb, w, h, 3, dw, dh))).toBe(c.bicubic_sha256);
  const channel = rgb.filter((_, i) => i % 3 === 0);
  expect(sha256(kernels.resizeNearest(channel, w, h, 1, dw, dh))).toBe(c.nearest_ch0_sha256);
});
