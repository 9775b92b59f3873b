// A picture to try: a brushed metal plate with a scratch, drawn from a fixed seed.
import sharp from 'sharp';
import { seeded } from './seeded.mjs';

const SIDE = 512;

export async function drawSample(path) {
  const random = seeded(7);
  const pixels = Buffer.alloc(SIDE * SIDE * 3);
  for (let y = 0; y < SIDE; y++) {
    let streak = 0;
    const shade = 128 + 14 * Math.sin(y / 90) + 10 * (random() - 0.5);
    for (let x = 0; x < SIDE; x++) {
      // Long correlation along x makes the brushing.
      streak = 0.94 * streak + 9 * (random() - 0.5);
      const value = shade + streak + 6 * (random() - 0.5);
      pixels.fill(Math.max(0, Math.min(255, value)), (y * SIDE + x) * 3, (y * SIDE + x) * 3 + 3);
    }
  }
  const scratch = `<svg width="${SIDE}" height="${SIDE}">
    <path d="M 300 150 Q 345 205 330 265 T 372 352" fill="none" stroke="#23201e" stroke-width="5"/>
    <path d="M 303 148 Q 348 203 333 263 T 375 350" fill="none" stroke="#e8e4df" stroke-width="2"/></svg>`;
  await sharp(pixels, { raw: { width: SIDE, height: SIDE, channels: 3 } })
    .composite([{ input: Buffer.from(scratch) }])
    .png()
    .toFile(path);
}
