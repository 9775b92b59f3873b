// What a model does, for a person to look at: picture, true outline and map side by side.
import { mkdir } from 'node:fs/promises';
import { dirname } from 'node:path';
import sharp from 'sharp';
import { heatmapPng } from '../../lib/index.mjs';

const PANEL = 320;
const GAP = 6;
const OUTLINE = [0, 255, 255];

/**
 * Writes a PNG of three panels. The heat is on the fixed scale 0..1, so that pictures can be compared.
 *
 * @param {{ rgb: Uint8Array, mask: Uint8Array, map: Float32Array }} sample all side x side
 */
export async function writePanels(file, { rgb, mask, map }, side) {
  const panels = [
    await png(rgb, side),
    await png(outlined(rgb, mask, side), side),
    await heatmapPng({ data: map, width: side, height: side }, { width: PANEL, height: PANEL }),
  ];
  const width = panels.length * PANEL + (panels.length - 1) * GAP;
  const layers = panels.map((input, i) => ({ input, left: i * (PANEL + GAP), top: 0 }));
  await mkdir(dirname(file), { recursive: true });
  await sharp({ create: { width, height: PANEL, channels: 3, background: 'white' } })
    .composite(layers)
    .png()
    .toFile(file);
}

function png(rgb, side) {
  return sharp(rgb, { raw: { width: side, height: side, channels: 3 } })
    .resize(PANEL, PANEL)
    .png()
    .toBuffer();
}

/** Pixels of the mask that touch one outside it are painted over. */
function outlined(rgb, mask, side) {
  const out = rgb.slice();
  const inside = (x, y) => x >= 0 && y >= 0 && x < side && y < side && mask[y * side + x] === 1;
  for (let y = 0; y < side; y++) {
    for (let x = 0; x < side; x++) {
      const enclosed = inside(x - 1, y) && inside(x + 1, y) && inside(x, y - 1) && inside(x, y + 1);
      if (inside(x, y) && !enclosed) out.set(OUTLINE, 3 * (y * side + x));
    }
  }
  return out;
}
