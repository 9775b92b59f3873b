import sharp from 'sharp';
import {
  COLORMAPS,
  heatmapPng,
  type OverlayOptions,
  overlayPng,
  type ScoreMap,
} from '../../../lib/image';
import { colormapTable } from '../../../lib/image/colormap';
import { paced } from '../../../lib/image/pace';
import { buildColormaps } from './build-colormaps';

beforeAll(buildColormaps);

const mapOf = (width: number, ...values: number[]): ScoreMap => ({
  data: Float32Array.from(values),
  width,
  height: values.length / width,
});

function flat(width: number, height: number, value = 100) {
  return { data: new Uint8Array(width * height * 3).fill(value), width, height };
}

async function pixels(png: Buffer) {
  const { data, info } = await sharp(png).raw().toBuffer({ resolveWithObject: true });
  expect(info.channels).toBe(3);
  const at = (x: number, y: number) => [...data.subarray((y * info.width + x) * 3).subarray(0, 3)];
  return { at, data, width: info.width, height: info.height };
}

const overlay = async (map: ScoreMap, image: ReturnType<typeof flat>, o?: OverlayOptions) =>
  pixels(await overlayPng(map, image, o));

describe('colour maps', () => {
  test.each(COLORMAPS)('%s has 256 colours of three bytes, next to none of them twice', (name) => {
    const table = colormapTable(name);
    expect(table).toHaveLength(768);
    expect(table.every((v) => Number.isInteger(v) && v >= 0 && v <= 255)).toBe(true);
    const colors = Array.from({ length: 256 }, (_, i) => table.slice(3 * i, 3 * i + 3).join());
    expect(new Set(colors).size).toBeGreaterThan(250);
  });

  test('inferno and viridis grow brighter all the way', () => {
    for (const name of ['inferno', 'viridis'] as const) {
      const t = colormapTable(name);
      const light = (i: number) =>
        0.2126 * t[3 * i]! + 0.7152 * t[3 * i + 1]! + 0.0722 * t[3 * i + 2]!;
      for (let i = 8; i < 256; i += 8) expect(light(i)).toBeGreaterThan(light(i - 8));
    }
  });
});

describe('heat-map', () => {
  test('0 is the first colour, 1 the last, and values outside are clamped', async () => {
    const { at } = await pixels(
      await heatmapPng(mapOf(6, 0, 1, -3, 7, Number.NEGATIVE_INFINITY, Number.POSITIVE_INFINITY)),
    );
    const table = colormapTable('inferno');
    for (const x of [0, 2, 4]) expect(at(x, 0)).toEqual(table.slice(0, 3));
    for (const x of [1, 3, 5]) expect(at(x, 0)).toEqual(table.slice(-3));
  });

  test('a score has the same colour whatever else the map holds', async () => {
    const alone = await pixels(await heatmapPng(mapOf(1, 0.3)));
    const among = await pixels(await heatmapPng(mapOf(3, 0.3, 0.31, 0.29)));
    expect(among.at(0, 0)).toEqual(alone.at(0, 0));
  });

  test('NaN is grey', async () => {
    const { at } = await pixels(await heatmapPng(mapOf(2, Number.NaN, 0.5)));
    expect(at(0, 0)).toEqual([128, 128, 128]);
  });

  test('one side alone keeps the shape of the map, both sides are taken as given', async () => {
    const map = mapOf(4, 0, 1, 0, 1, 0, 1, 0, 1);
    expect(await pixels(await heatmapPng(map))).toMatchObject({ width: 4, height: 2 });
    expect(await pixels(await heatmapPng(map, { width: 40 }))).toMatchObject({ height: 20 });
    expect(await pixels(await heatmapPng(map, { height: 1 }))).toMatchObject({ width: 2 });
    const both = await heatmapPng(map, { width: 7, height: 9 });
    expect(await pixels(both)).toMatchObject({ width: 7, height: 9 });
  });

  test('a PNG beyond the picture limits is refused before it is allocated', async () => {
    const map = mapOf(1, 0);
    await expect(heatmapPng(map, { width: 30_000 })).rejects.toMatchObject({
      code: 'ERR_ACD_IMAGE_LIMIT',
    });
    await expect(heatmapPng(map, { width: 40_000 })).rejects.toMatchObject({
      code: 'ERR_ACD_INVALID_ARG',
    });
  });
});

describe('overlay', () => {
  test('has the size of the picture and leaves it as it is where the score is 0 or NaN', async () => {
    const image = flat(31, 17);
    for (let i = 0; i < image.data.length; i++) image.data[i] = (i * 37) & 255;
    for (const score of [0, -1, Number.NaN]) {
      const result = await overlay(mapOf(2, score, score, score, score), image);
      expect(result).toMatchObject({ width: 31, height: 17 });
      expect(new Uint8Array(result.data)).toEqual(image.data);
    }
  });

  test('mixes alpha parts of the colour into the picture from a score of 0.5 on', async () => {
    const table = colormapTable('turbo');
    for (const [score, index] of [
      [1, 255],
      [0.6, 153],
    ] as const) {
      const o = { alpha: 0.7, colormap: 'turbo' } as const;
      const { at } = await overlay(mapOf(1, score), flat(3, 3), o);
      at(1, 1).forEach((v, c) => {
        expect(Math.abs(v - (0.3 * 100 + 0.7 * table[3 * index + c]!))).toBeLessThanOrEqual(1);
      });
    }
  });

  test('colours normal areas less than anomalous ones', async () => {
    const change = async (score: number) => {
      const { at } = await overlay(mapOf(1, score), flat(1, 1, 128));
      return Math.max(...at(0, 0).map((v) => Math.abs(v - 128)));
    };
    expect(await change(0.05)).toBeLessThanOrEqual(3);
    expect(await change(0.9)).toBeGreaterThan(50);
  });

  test('changes neither the picture nor the map', async () => {
    const image = flat(20, 20);
    const map = mapOf(2, 0, 1, 0.5, 0.2);
    const boxes = [{ x: 2, y: 2, width: 9, height: 9 }];
    await overlayPng(map, image, { contour: 0.5, legend: true, regions: boxes });
    expect(image).toEqual(flat(20, 20));
    expect(map).toEqual(mapOf(2, 0, 1, 0.5, 0.2));
    expect(boxes).toEqual([{ x: 2, y: 2, width: 9, height: 9 }]);
  });

  test('the contour is a white line where the score crosses the threshold, and nothing else', async () => {
    // Columns 0..99 rise from 0 to 1, so 0.25 is crossed near column 25.
    const ramp = mapOf(100, ...Array.from({ length: 100 }, (_, i) => (i + 0.5) / 100));
    const plain = await overlay(ramp, flat(100, 9), { alpha: 0 });
    const { at } = await overlay(ramp, flat(100, 9), { alpha: 0, contour: 0.25 });
    const changed = Array.from({ length: 100 }, (_, x) => x).filter(
      (x) => at(x, 4).join() !== plain.at(x, 4).join(),
    );
    expect(changed.length).toBeGreaterThanOrEqual(2);
    expect(Math.min(...changed)).toBeGreaterThanOrEqual(22);
    expect(Math.max(...changed)).toBeLessThanOrEqual(27);
    expect(Math.max(...changed.map((x) => at(x, 4)[0]!))).toBeGreaterThan(180);
  });

  test('a map that is level at the threshold has no contour', async () => {
    const { data } = await overlay(mapOf(1, 0.5), flat(9, 9), { alpha: 0, contour: 0.5 });
    expect(new Set(data)).toEqual(new Set([100]));
  });

  test('boxes are framed from outside, and what lies off the picture is left out', async () => {
    const regions = [
      { x: 10, y: 12, width: 5, height: 4 },
      { x: -50, y: -50, width: 20, height: 20 },
    ];
    const { at } = await overlay(mapOf(1, 0), flat(40, 30), { regions });
    for (const [x, y] of [
      [8, 14],
      [16, 14],
      [12, 10],
      [12, 17],
    ] as const) {
      expect(at(x, y)).toEqual([255, 255, 255]);
    }
    for (const [x, y] of [
      [10, 12],
      [14, 15],
      [12, 14],
      [2, 2],
      [30, 20],
    ] as const) {
      expect(at(x, y)).toEqual([100, 100, 100]);
    }
  });

  test('the scale bar is drawn only when asked for, in the lower right corner', async () => {
    const image = flat(300, 200);
    expect(new Set((await overlay(mapOf(1, 0), image)).data)).toEqual(new Set([100]));
    const { at } = await overlay(mapOf(1, 0), image, { legend: true });
    expect(at(290, 190)).not.toEqual([100, 100, 100]);
    expect(at(150, 190)).toEqual([100, 100, 100]);
    expect(at(290, 20)).toEqual([100, 100, 100]);
  });

  test('a picture smaller than the scale bar is no error', async () => {
    expect(await overlay(mapOf(1, 1), flat(3, 2), { legend: true, contour: 0.5 })).toMatchObject({
      width: 3,
      height: 2,
    });
  });
});

describe('arguments', () => {
  const image = flat(2, 2);
  test.each<[string, () => Promise<unknown>]>([
    ['no map', () => heatmapPng(undefined as never)],
    [
      'a map of doubles',
      () => heatmapPng({ data: new Float64Array(1), width: 1, height: 1 } as never),
    ],
    [
      'a map that is too short',
      () => heatmapPng({ data: new Float32Array(3), width: 2, height: 2 }),
    ],
    ['an unknown colour map', () => heatmapPng(mapOf(1, 0), { colormap: 'jet' as never })],
    ['a width of 0', () => heatmapPng(mapOf(1, 0), { width: 0 })],
    ['no image', () => overlayPng(mapOf(1, 0), null as never)],
    ['an image that is too short', () => overlayPng(mapOf(1, 0), { ...image, width: 3 })],
    ['alpha above 1', () => overlayPng(mapOf(1, 0), image, { alpha: 1.1 })],
    ['a contour of NaN', () => overlayPng(mapOf(1, 0), image, { contour: Number.NaN })],
    ['boxes that are no array', () => overlayPng(mapOf(1, 0), image, { regions: {} as never })],
    [
      'a box without sides',
      () => overlayPng(mapOf(1, 0), image, { regions: [{ x: 1, y: 1 }] as never }),
    ],
  ])('%s is an invalid argument', async (_, call) => {
    await expect(call()).rejects.toMatchObject({ code: 'ERR_ACD_INVALID_ARG' });
  });

  test('a misspelt option names the nearest one', async () => {
    await expect(overlayPng(mapOf(1, 0), image, { contours: 0.5 } as never)).rejects.toMatchObject({
      code: 'ERR_ACD_UNKNOWN_OPTION',
      message: expect.stringContaining('"contour"'),
    });
  });
});

describe('pace', () => {
  test('other work gets its turn while a large overlay is drawn', async () => {
    let turns = 0;
    let drawing = true;
    const count = () => {
      turns++;
      if (drawing) setImmediate(count);
    };
    setImmediate(count);
    await overlayPng(mapOf(2, 0, 1, 0.5, 0.2), flat(2000, 1500), { contour: 0.5 });
    drawing = false;
    expect(turns).toBeGreaterThan(20);
  });

  test('a slice ends with the step during which its time ran out', async () => {
    const slices: number[] = [];
    let steps = 0;
    const count = () => {
      slices.push(steps);
      if (steps < 50) setImmediate(count);
    };
    setImmediate(count);
    await paced(50, () => {
      steps++;
      for (const end = performance.now() + 0.4; performance.now() < end; );
    });
    expect(slices.length).toBeGreaterThanOrEqual(10);
  });

  test('drawing stops at the next slice after an abort, with the reason', async () => {
    const controller = new AbortController();
    const reason = new Error('enough');
    const drawing = overlayPng(mapOf(1, 1), flat(2000, 1500), { signal: controller.signal });
    controller.abort(reason);
    await expect(drawing).rejects.toBe(reason);
    const o = { signal: AbortSignal.abort(reason) };
    await expect(heatmapPng(mapOf(1, 1), o)).rejects.toBe(reason);
  });
});
