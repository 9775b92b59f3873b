import fc from 'fast-check';
import sharp from 'sharp';
import { heatmapPng, overlayPng } from '../../lib/image';
import { rowSampler } from '../../lib/image/sample-map';
import { buildColormaps } from '../unit/image/build-colormaps';

beforeAll(buildColormaps);

const side = fc.integer({ min: 1, max: 12 });
const map = fc.tuple(side, side).chain(([width, height]) =>
  fc
    .array(fc.oneof(fc.float(), fc.float({ min: 0, max: 1 })), {
      minLength: width * height,
      maxLength: width * height,
    })
    .map((values) => ({ data: Float32Array.from(values), width, height })),
);

test('any map, also with NaN and infinities, gives PNGs of the asked-for size', async () => {
  await fc.assert(
    fc.asyncProperty(
      map,
      side,
      side,
      fc.double({ min: 0, max: 1, noNaN: true }),
      async (m, width, height, contour) => {
        const image = { data: new Uint8Array(width * height * 3), width, height };
        const heat = await sharp(await heatmapPng(m, { width, height })).metadata();
        const over = await sharp(await overlayPng(m, image, { contour, legend: true })).metadata();
        for (const png of [heat, over])
          expect(png).toMatchObject({ format: 'png', width, height, channels: 3 });
      },
    ),
    { numRuns: 200, seed: 20261123 },
  );
});

test('an enlarged or reduced map stays within its own range, and a level one stays level', () => {
  fc.assert(
    fc.property(map, side, side, (m, width, height) => {
      const clean = m.data.map((v) => (v >= 0 && v <= 1 ? v : 0.25));
      const row = rowSampler({ ...m, data: clean }, width, height);
      const slack = 1e-6;
      for (let y = 0; y < height; y++) {
        for (const v of row(y)) {
          expect(v).toBeGreaterThanOrEqual(Math.min(...clean) - slack);
          expect(v).toBeLessThanOrEqual(Math.max(...clean) + slack);
        }
      }
      const level = rowSampler({ ...m, data: m.data.map(() => 0.3) }, width, height);
      expect(new Set(level(height - 1))).toEqual(new Set([Math.fround(0.3)]));
    }),
    { seed: 20261123 },
  );
});
