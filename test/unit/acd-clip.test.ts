import { createReadStream, writeFileSync } from 'node:fs';
import * as path from 'node:path';
import { Readable } from 'node:stream';
import { pathToFileURL } from 'node:url';
import sharp from 'sharp';
import type { AcdClip } from '../../lib/acd-clip';
import type { ImageInput } from '../../lib/image';
import type { Detection, DetectOptions } from '../../lib/model/types';
import { errorOf, picture, pngOf, tinySuite } from '../helpers/models';

const suite = tinySuite();
const NUT = { className: 'metal nut' };

const codeOf = async (work: Promise<unknown>) => (await errorOf(work)).code;

describe('detect takes', () => {
  const raw = picture(1);
  let png: Buffer;
  let file: string;
  let expected: Detection;

  beforeAll(async () => {
    png = await pngOf(raw);
    file = path.join(suite.folder, 'picture.png');
    writeFileSync(file, png);
    expected = await suite.model.detect(raw, NUT);
  });

  const kinds: [string, () => ImageInput][] = [
    ['a path', () => file],
    ['a file URL', () => pathToFileURL(file)],
    ['a Buffer', () => png],
    ['a Uint8Array', () => new Uint8Array(png)],
    ['a Uint8ClampedArray', () => new Uint8ClampedArray(png)],
    ['an ArrayBuffer', () => new Uint8Array(png).buffer],
    [
      'a SharedArrayBuffer',
      () => {
        const shared = new SharedArrayBuffer(png.length);
        new Uint8Array(shared).set(png);
        return shared;
      },
    ],
    ['a Readable', () => createReadStream(file)],
    ['a web stream', () => Readable.toWeb(createReadStream(file)) as ReadableStream<Uint8Array>],
    ['a sharp instance', () => sharp(png)],
    ['raw RGB', () => raw],
    [
      'raw RGBA, whose alpha is dropped',
      () => {
        const data = new Uint8Array(raw.width * raw.height * 4).fill(7);
        for (let i = 0; i < raw.width * raw.height; i++)
          data.set(raw.data.subarray(3 * i, 3 * i + 3), 4 * i);
        return { ...raw, data, channels: 4 };
      },
    ],
  ];
  test.each(kinds)('%s, and gives the same bytes', async (_, make) => {
    const found = await suite.model.detect(make(), NUT);
    expect(found.score).toBe(expected.score);
    expect(Buffer.from(found.map!.data.buffer)).toEqual(Buffer.from(expected.map!.data.buffer));
    expect(found.image).toMatchObject({ width: 60, height: 40 });
  });

  test('the format of an encoded picture is reported, raw pixels have none', async () => {
    expect((await suite.model.detect(png, NUT)).image.format).toBe('png');
    expect(expected.image).toEqual({ width: 60, height: 40 });
  });
});

describe('detect says what the picture shows in exactly one way', () => {
  const prompts = { normal: ['a nut'], abnormal: ['a broken nut'] };

  test('className, prompts or textFeatures', async () => {
    const textFeatures = await suite.model.encodePrompts(prompts);
    const image = picture(2);
    const byPrompts = await suite.model.detect(image, { prompts });
    const byFeatures = await suite.model.detect(image, { textFeatures });
    expect(byFeatures.score).toBe(byPrompts.score);
    expect((await suite.model.detect(image, NUT)).score).not.toBe(byPrompts.score);
  });

  test('none, or two at once, is an error that counts them', async () => {
    const none = await errorOf(suite.model.detect(picture(1), {}));
    expect(none.code).toBe('ERR_ACD_INVALID_ARG');
    expect(none.message).toMatch(/exactly one of className, prompts, textFeatures.*received 0/);
    const two = await errorOf(suite.model.detect(picture(1), { ...NUT, prompts }));
    expect(two.message).toMatch(/received 2/);
  });

  test('text features of another model are refused', async () => {
    const other = await suite.load({ loraAlpha: 3 });
    const textFeatures = await other.encodePrompts('nut');
    const error = await errorOf(suite.model.detect(picture(1), { textFeatures }));
    expect(error.code).toBe('ERR_ACD_CHECKPOINT_MISMATCH');
    expect(error.message).toContain(suite.model.modelId.slice(0, 12));
  });

  test('a dataset gives its nouns and its domain, own nouns come first', async () => {
    const image = picture(3);
    const score = async (o: DetectOptions) => (await suite.model.detect(image, o)).score;
    const nut = 'metal nut which has four notched edges';
    expect(await score({ className: 'metal_nut', dataset: 'MVTec' })).toBe(
      await score({ className: nut }),
    );
    expect(await score({ className: 'Brain', dataset: 'Brain' })).toBe(
      await score({ className: 'scan', domain: 'medical' }),
    );
    expect(
      await score({ className: 'metal_nut', dataset: 'MVTec', nouns: { metal_nut: 'ring' } }),
    ).toBe(await score({ className: 'ring' }));
  });
});

describe('options', () => {
  const misspelt: [string, () => Promise<unknown>, string, string | undefined][] = [
    [
      'detect',
      () => suite.model.detect(picture(1), { className: 'x', treshold: 1 } as never),
      'treshold',
      'threshold',
    ],
    [
      'detectBatch',
      () => suite.model.detectBatch([picture(1)], { clasName: 'x' } as never),
      'clasName',
      'className',
    ],
    ['embed', () => suite.model.embed(picture(1), { patchs: true } as never), 'patchs', 'patches'],
    [
      'calibrate',
      () => suite.model.calibrate([picture(1)], { className: 'x', fpf: 0.1 } as never),
      'fpf',
      'fpr',
    ],
    [
      'encodePrompts',
      () => suite.model.encodePrompts('x', { signl: 1 } as never),
      'signl',
      'signal',
    ],
    [
      'regions',
      () =>
        suite.model.detect(picture(1), {
          className: 'x',
          regions: { minarea: 3, threshold: 0.5 } as never,
        }),
      'minarea',
      'minArea',
    ],
    ['load', () => suite.load({ thread: 1 } as never), 'thread', 'threads'],
    [
      'detect',
      () => suite.model.detect(picture(1), { className: 'x', zebra: 1 } as never),
      'zebra',
      undefined,
    ],
  ];
  test.each(misspelt)(
    '%s names the unknown option and the nearest known one',
    async (_, call, key, near) => {
      const error = await errorOf(call());
      expect(error.code).toBe('ERR_ACD_UNKNOWN_OPTION');
      expect(error.message).toContain(`"${key}"`);
      if (near) expect(error.message).toContain(`did you mean "${near}"?`);
      else expect(error.message).not.toContain('did you mean');
    },
  );

  const wrong: [string, object, RegExp][] = [
    ['threshold', { threshold: 1.1 }, /number between 0 and 1 for threshold but received 1.1/],
    ['threshold', { threshold: Number.NaN }, /for threshold but received NaN/],
    ['map', { map: 'big' }, /one of none, model, image for map/],
    ['domain', { domain: 'food' }, /one of industrial, medical for domain/],
    ['regions', { regions: { threshold: -1 } }, /for regions.threshold/],
    ['minArea', { regions: { threshold: 0.5, minArea: 0 } }, /for regions.minArea/],
    [
      'regions: true without a profile',
      { regions: true },
      /regions.threshold \(0\.\.1\) or a profile/,
    ],
    ['autoOrient', { autoOrient: 1 }, /boolean for autoOrient/],
    ['stages', { stages: 1 }, /boolean for stages/],
    ['signal', { signal: 1 }, /AbortSignal for signal/],
    ['profile', { profile: {} }, /profile from calibrate\(\)/],
  ];
  test.each(wrong)('a wrong %s is refused with what was expected', async (_, options, message) => {
    const error = await errorOf(suite.model.detect(picture(1), { ...NUT, ...options } as never));
    expect(error.code).toBe('ERR_ACD_INVALID_ARG');
    expect(error.message).toMatch(message);
  });

  test('null in place of options is refused', async () => {
    for (const call of ['detect', 'embed', 'calibrate'] as const) {
      expect(await codeOf(suite.model[call](picture(1) as never, null as never))).toBe(
        'ERR_ACD_INVALID_ARG',
      );
    }
  });
});

describe('a detection', () => {
  test('is flagged only when a threshold or a profile says so, and at the threshold itself', async () => {
    const image = picture(4);
    const plain = await suite.model.detect(image, NUT);
    expect(plain).not.toHaveProperty('isAnomalous');
    const flagged = async (threshold: number) =>
      (await suite.model.detect(image, { ...NUT, threshold })).isAnomalous;
    expect(await flagged(plain.score)).toBe(true);
    expect(await flagged(Math.min(1, plain.score + 1e-9))).toBe(false);
    expect(await flagged(0)).toBe(true);
  });

  test('weighs its parts by the domain', async () => {
    for (const [domain, w] of [
      ['industrial', 0.1],
      ['medical', 0.5],
    ] as const) {
      const { score, parts } = await suite.model.detect(picture(5), { ...NUT, domain });
      expect(score).toBeCloseTo((1 - w) * parts.cls + w * parts.mapMax, 12);
    }
  });

  test('has no map, a map of the model or one of the picture, as asked', async () => {
    const image = picture(6, 50, 31);
    const size = async (map?: 'none' | 'model' | 'image') => {
      const found = await suite.model.detect(image, { ...NUT, ...(map && { map }) });
      return found.map && [found.map.width, found.map.height, found.map.data.length];
    };
    const s = suite.model.imageSize;
    expect(await size('none')).toBeUndefined();
    expect(await size()).toEqual([s, s, s * s]);
    expect(await size('image')).toEqual([50, 31, 50 * 31]);
  });

  test('its map lies in 0..1 and its greatest value is mapMax', async () => {
    const { map, parts } = await suite.model.detect(picture(7), NUT);
    const values = [...map!.data];
    expect(Math.max(...values)).toBe(parts.mapMax);
    expect(Math.min(...values)).toBeGreaterThanOrEqual(0);
    expect(parts.mapMax).toBeLessThanOrEqual(1);
  });

  test('its map becomes PNGs of its own and of the picture size', async () => {
    const image = picture(7);
    const { map } = await suite.model.detect(image, NUT);
    expect(await sharp(await map!.toPng()).metadata()).toMatchObject({ format: 'png', width: 84 });
    expect(await sharp(await map!.overlay(image)).metadata()).toMatchObject({
      width: 60,
      height: 40,
    });
  });

  test('is plain data that a worker can be given', async () => {
    const found = await suite.model.detect(picture(8), { ...NUT, regions: { threshold: 0.5 } });
    const copy = structuredClone(found.map!.data, {
      transfer: [found.map!.data.buffer as ArrayBuffer],
    });
    expect(copy.length).toBe(84 * 84);
    expect(found.map!.data.length).toBe(0);
    const { map: _, ...rest } = found;
    expect(JSON.parse(JSON.stringify(rest))).toEqual(rest);
    const { stages: _stages, ...times } = found.timing;
    expect(Object.values(times).every((ms) => ms >= 0)).toBe(true);
  });

  test('says where the time went when asked, and gives the same map', async () => {
    const plain = await suite.model.detect(picture(8), NUT);
    const found = await suite.model.detect(picture(8), { ...NUT, stages: true });
    expect(found.map!.data).toEqual(plain.map!.data);
    expect(plain.timing.stages).toBeUndefined();
    const stages = found.timing.stages!;
    const layers = stages.find((s) => s.op === 'attention')!;
    // 6 x 6 patches and the class token.
    expect(layers).toMatchObject({ rows: 37, to: 1, calls: expect.any(Number) });
    expect(new Set(stages.map((s) => s.op))).toEqual(
      new Set(stages.flatMap((s) => (s.calls > 0 && s.ms >= 0 ? [s.op] : []))),
    );
    for (const op of ['linear', 'patchify', 'fuse_map']) {
      expect(stages.map((s) => s.op)).toContain(op);
    }
    const sum = stages.reduce((ms, s) => ms + s.ms, 0);
    expect(sum).toBeLessThanOrEqual(found.timing.computeMs);
  });
});

describe('regions', () => {
  const sizes: [number, number][] = [
    [84, 84],
    [200, 31],
    [1, 1],
    [1, 90],
    [300, 2],
    [5, 5],
  ];
  test.each(sizes)('lie in the pixels of a %i x %i picture', async (width, height) => {
    const image = picture(9, width, height);
    const { parts } = await suite.model.detect(image, NUT);
    // Low enough for regions at every edge, high enough for several.
    for (const threshold of [0, parts.mapMax * 0.8, parts.mapMax * 0.98]) {
      const { regions } = await suite.model.detect(image, { ...NUT, regions: { threshold } });
      expect(regions!.length).toBeGreaterThan(0);
      for (const r of regions!) {
        expect(r.box.x).toBeGreaterThanOrEqual(0);
        expect(r.box.y).toBeGreaterThanOrEqual(0);
        expect(r.box.width).toBeGreaterThanOrEqual(1);
        expect(r.box.x + r.box.width).toBeLessThanOrEqual(width);
        expect(r.box.y + r.box.height).toBeLessThanOrEqual(height);
        expect(r.area).toBeLessThanOrEqual(width * height);
        expect(r.score).toBeGreaterThanOrEqual(r.mean);
        expect(r.centroid.x).toBeLessThanOrEqual(width);
        for (const [x, y] of r.polygon) {
          expect(x >= 0 && x <= width && y >= 0 && y <= height).toBe(true);
        }
      }
    }
  });

  test('one at threshold 0 is the whole picture', async () => {
    const { regions } = await suite.model.detect(picture(10, 120, 50), {
      ...NUT,
      regions: { threshold: 0 },
    });
    expect(regions).toHaveLength(1);
    expect(regions![0]!.box).toEqual({ x: 0, y: 0, width: 120, height: 50 });
    expect(regions![0]!.area).toBe(120 * 50);
  });

  test('smaller than minArea, in pixels of the picture, are left out', async () => {
    const find = async (minArea: number) =>
      (
        await suite.model.detect(picture(11, 168, 168), {
          ...NUT,
          regions: { threshold: 0, minArea },
        })
      ).regions!.length;
    expect(await find(168 * 168)).toBe(1);
    expect(await find(168 * 168 + 1)).toBe(0);
    expect(await find(Number.MAX_SAFE_INTEGER)).toBe(0);
  });
});

describe('detectBatch', () => {
  test('keeps the order, for more pictures than the queue holds', async () => {
    const model = await suite.load({ queueLimit: 2 });
    const images = Array.from({ length: 40 }, (_, i) => picture(i % 7, 20 + i, 30));
    const found = await model.detectBatch(images, NUT);
    expect(found.map((f) => f.image.width)).toEqual(images.map((i) => i.width));
    const one = await model.detect(images[33]!, NUT);
    expect(found[33]!.score).toBe(one.score);
  });

  test('of nothing is nothing', async () => {
    expect(await suite.model.detectBatch([], NUT)).toEqual([]);
  });

  test('fails with the index of the first bad picture', async () => {
    const images = [picture(1), picture(2), Buffer.from('not a picture'), Buffer.alloc(0)];
    const error = await errorOf(suite.model.detectBatch(images, NUT));
    expect(error.code).toBe('ERR_ACD_IMAGE_FORMAT');
    expect(error.message).toContain('images[2]');
  });

  test('refuses what is not an array', async () => {
    for (const images of ['nut.jpg', Buffer.alloc(3), undefined, { length: 1 }]) {
      expect(await codeOf(suite.model.detectBatch(images as never, NUT))).toBe(
        'ERR_ACD_INVALID_ARG',
      );
    }
  });
});

describe('detectStream', () => {
  /** Pictures by an async generator that counts what was taken and sees its own end. */
  function source(count: number) {
    const state = { taken: 0, closed: false };
    async function* images(): AsyncGenerator<ImageInput> {
      try {
        for (let i = 0; i < count; i++) {
          state.taken++;
          yield picture(i % 5, 10 + i, 20);
        }
      } finally {
        state.closed = true;
      }
    }
    return { state, images: images() };
  }

  test('gives results in order and never runs more than 8 pictures ahead', async () => {
    const { state, images } = source(30);
    let received = 0;
    for await (const found of suite.model.detectStream(images, NUT)) {
      expect(found.image.width).toBe(10 + received++);
      expect(state.taken - received).toBeLessThanOrEqual(8);
      await new Promise(setImmediate);
      expect(state.taken - received).toBeLessThanOrEqual(8);
    }
    expect(received).toBe(30);
  });

  test('gives a result while the source waits for it before sending more', async () => {
    let answered: () => void = () => {};
    async function* conversation(): AsyncGenerator<ImageInput> {
      for (let i = 0; i < 3; i++) {
        const answer = new Promise<void>((resolve) => {
          answered = resolve;
        });
        yield picture(i);
        await answer;
      }
    }
    let received = 0;
    for await (const _ of suite.model.detectStream(conversation(), NUT)) {
      received++;
      answered();
    }
    expect(received).toBe(3);
  });

  test('reads and decodes the next pictures while one is computed', async () => {
    const png = await pngOf(picture(3));
    let reading = 0;
    let most = 0;
    /** A picture whose bytes take a while to come, as from a slow disk. */
    const slow = () =>
      Readable.from(
        (async function* () {
          most = Math.max(most, ++reading);
          await new Promise((resolve) => setTimeout(resolve, 30));
          reading--;
          yield png;
        })(),
      );
    const found = await suite.model.detectBatch(Array.from({ length: 24 }, slow), NUT);
    expect(found.length).toBe(24);
    expect(most).toBe(8);
  });

  test('left early, closes its source and leaves nothing running', async () => {
    const { state, images } = source(1000);
    for await (const _ of suite.model.detectStream(images, NUT)) break;
    expect(state.closed).toBe(true);
    expect(state.taken).toBeLessThanOrEqual(9);
    const { timing } = await suite.model.detect(picture(1), NUT);
    expect(timing.queueMs).toBeLessThan(1000);
  });

  test('passes on what its source throws', async () => {
    async function* broken(): AsyncGenerator<ImageInput> {
      yield picture(1);
      throw new RangeError('camera gone');
    }
    const all = (async () => {
      for await (const _ of suite.model.detectStream(broken(), NUT));
    })();
    await expect(all).rejects.toThrow(new RangeError('camera gone'));
  });

  test('rejects with the signal’s reason and works afterwards', async () => {
    const stop = new AbortController();
    const { state, images } = source(1000);
    const reason = new Error('enough');
    const all = (async () => {
      let n = 0;
      for await (const _ of suite.model.detectStream(images, { ...NUT, signal: stop.signal })) {
        if (++n === 3) stop.abort(reason);
      }
    })();
    await expect(all).rejects.toBe(reason);
    expect(state.closed).toBe(true);
    await suite.model.detect(picture(1), NUT);
  });

  test('refuses a path or a Buffer in place of many pictures', async () => {
    for (const images of ['nut.jpg', Buffer.alloc(3), 3, null, {}]) {
      const next = suite.model.detectStream(images as never, NUT).next();
      expect(await codeOf(next)).toBe('ERR_ACD_INVALID_ARG');
    }
  });
});

describe('calibrate', () => {
  const good = Array.from({ length: 21 }, (_, i) => picture(i, 30 + i, 40));
  const others = Array.from({ length: 12 }, (_, i) => picture(100 + i, 64, 64));

  test.each([0, 0.05, 0.1, 0.5])(
    'flags at most a fraction of %d of the good pictures',
    async (fpr) => {
      const profile = await suite.model.calibrate(good, { ...NUT, fpr });
      const found = await suite.model.detectBatch(good, { profile });
      expect(found.filter((f) => f.isAnomalous).length).toBeLessThanOrEqual(fpr * good.length);
      const marked = await suite.model.detectBatch(good, { profile, regions: true });
      expect(marked.filter((f) => f.regions!.length > 0).length).toBeLessThanOrEqual(
        fpr * good.length,
      );
    },
  );

  test('its profile decides alone, and survives JSON', async () => {
    const made = await suite.model.calibrate(good, { ...NUT, fpr: 0.1 });
    const profile = JSON.parse(JSON.stringify(made));
    expect(profile).toEqual(made);
    const byProfile = await suite.model.detectBatch(others, { profile });
    const byName = await suite.model.detectBatch(others, { ...NUT, threshold: profile.threshold });
    expect(byProfile.map((f) => [f.score, f.isAnomalous])).toEqual(
      byName.map((f) => [f.score, f.isAnomalous]),
    );
    for (const f of byProfile) expect(f.isAnomalous).toBe(f.score >= profile.threshold);
  });

  test('keeps order statistics and reports progress', async () => {
    const seen: number[] = [];
    const profile = await suite.model.calibrate(good, {
      ...NUT,
      domain: 'medical',
      onProgress: ({ done }) => seen.push(done),
    });
    expect(seen).toEqual(good.map((_, i) => i + 1));
    expect(profile).toMatchObject({
      images: 21,
      domain: 'medical',
      fpr: 0.01,
      modelId: suite.model.modelId,
    });
    const q = Object.entries(profile.quantiles.score)
      .sort(([a], [b]) => Number(a) - Number(b))
      .map(([, v]) => v);
    expect(q).toEqual([...q].sort((a, b) => a - b));
    expect(profile.threshold).toBeGreaterThan(profile.quantiles.score['1']! - 1e-9);
  });

  test('a threshold beside a profile wins', async () => {
    const profile = await suite.model.calibrate(good, NUT);
    const [f] = await suite.model.detectBatch(good.slice(0, 1), { profile, threshold: 0 });
    expect(f!.isAnomalous).toBe(true);
  });

  test('refuses no pictures, no prompts, and profiles of another model', async () => {
    expect(await codeOf(suite.model.calibrate([], NUT))).toBe('ERR_ACD_INVALID_ARG');
    expect(await codeOf(suite.model.calibrate(good, {}))).toBe('ERR_ACD_INVALID_ARG');
    expect(await codeOf(suite.model.calibrate(good, undefined as never))).toBe(
      'ERR_ACD_INVALID_ARG',
    );
    expect(await codeOf(suite.model.calibrate('good/' as never, NUT))).toBe('ERR_ACD_INVALID_ARG');
    const profile = { ...(await suite.model.calibrate(good, NUT)), modelId: 'f'.repeat(64) };
    expect(await codeOf(suite.model.detect(good[0]!, { profile }))).toBe(
      'ERR_ACD_CHECKPOINT_MISMATCH',
    );
  });
});

describe('embed', () => {
  test('gives one vector a group, and one a patch when asked', async () => {
    const plain = await suite.model.embed(picture(1));
    expect(plain).toMatchObject({ groups: 3, width: 64, grid: 6 });
    expect(plain.features.length).toBe(3 * 64);
    expect(plain).not.toHaveProperty('patches');
    const { patches, features } = await suite.model.embed(picture(1), { patches: true });
    expect(features).toEqual(plain.features);
    expect(patches!.length).toBe(3 * 36 * 64);
    for (let i = 0; i < 3 * 36; i++) {
      const length = Math.hypot(...patches!.subarray(i * 64, i * 64 + 64));
      expect(length).toBeCloseTo(1, 4);
    }
  });
});

describe('encodePrompts', () => {
  test('of a class name equals what className does', async () => {
    const textFeatures = await suite.model.encodePrompts('metal nut');
    expect(textFeatures).toMatchObject({ groups: 3, width: 64, modelId: suite.model.modelId });
    expect(textFeatures.data.length).toBe(3 * 64 * 2);
    const image = picture(12);
    const [a, b] = [
      await suite.model.detect(image, { textFeatures }),
      await suite.model.detect(image, NUT),
    ];
    expect(a.score).toBe(b.score);
  });

  test('has columns of length 1', async () => {
    const { data } = await suite.model.encodePrompts('cable');
    for (let g = 0; g < 3; g++) {
      for (let column = 0; column < 2; column++) {
        const values = Array.from({ length: 64 }, (_, i) => data[(g * 64 + i) * 2 + column]!);
        expect(Math.hypot(...values)).toBeCloseTo(1, 5);
      }
    }
  });

  test('gives a copy: changing it changes no later result', async () => {
    const first = await suite.model.encodePrompts('tile');
    const before = first.data.slice();
    first.data.fill(0);
    expect((await suite.model.encodePrompts('tile')).data).toEqual(before);
  });

  test('runs the text tower once for equal prompts, and again after a failure', async () => {
    const model = await suite.load({ threads: 1 });
    const slow = `wood ${'grain '.repeat(30)}`;
    const t0 = performance.now();
    await model.encodePrompts(slow);
    const first = performance.now() - t0;
    const t1 = performance.now();
    for (let i = 0; i < 20; i++) await model.encodePrompts(slow);
    expect((performance.now() - t1) / 20).toBeLessThan(first / 2);
    const long = 'x '.repeat(100);
    for (let i = 0; i < 2; i++)
      expect(await codeOf(model.encodePrompts(long))).toBe('ERR_ACD_PROMPT_TOO_LONG');
  });
});

describe('inputs', () => {
  async function unchanged(image: ImageInput, destroy: () => void) {
    const expected = await suite.model.detect(image, NUT);
    const running = suite.model.detect(image, NUT);
    destroy();
    const found = await running;
    expect(found.score).toBe(expected.score);
    expect(found.map!.data).toEqual(expected.map!.data);
  }

  test('may be overwritten right after the call: raw pixels', async () => {
    const image = picture(20);
    await unchanged(image, () => image.data.fill(0));
  });

  test('may be overwritten right after the call while the words are still to be encoded', async () => {
    const image = picture(20);
    const words = { className: 'metal nut of the first call' };
    const running = suite.model.detect(image, words);
    image.data.fill(0);
    const expected = await suite.model.detect(picture(20), words);
    expect((await running).score).toBe(expected.score);
  });

  test('raw pixels in shared memory, or clamped, give the same bytes', async () => {
    const image = picture(20);
    const expected = await suite.model.detect(image, NUT);
    const shared = new Uint8Array(new SharedArrayBuffer(image.data.length));
    shared.set(image.data);
    for (const data of [shared, Uint8ClampedArray.from(image.data), Buffer.from(image.data)]) {
      const found = await suite.model.detect({ ...image, data }, NUT);
      expect(found.map!.data).toEqual(expected.map!.data);
    }
  });

  test('may be overwritten right after the call: encoded bytes', async () => {
    const png = await pngOf(picture(20));
    await unchanged(png, () => png.fill(0));
  });

  test('may be transferred away right after the call', async () => {
    const image = picture(21);
    await unchanged(image, () =>
      structuredClone(image.data, { transfer: [image.data.buffer as ArrayBuffer] }),
    );
  });

  test('are not changed', async () => {
    const image = picture(22);
    const png = await pngOf(image);
    const options = { ...NUT, regions: { threshold: 0.5 }, nouns: { 'metal nut': 'ring' } };
    const before = structuredClone({ image, png, options });
    await suite.model.detect(image, options);
    await suite.model.detect(png, options);
    expect({ image, png, options }).toEqual(before);
  });
});

describe('the model', () => {
  test('says what it is', async () => {
    const { model } = suite;
    expect(model).toMatchObject({
      device: 'cpu',
      threads: 2,
      imageSize: 84,
      groups: 3,
      disposed: false,
    });
    expect(model.deviceReason).toMatch(/no CUDA device/);
    expect(model.modelId).toMatch(/^[0-9a-f]{64}$/);
  });

  test('counts its memory, and gives it back', async () => {
    const model: AcdClip = await suite.load({ imageSize: 98 });
    const empty = model.memoryUsage();
    expect(empty.weightsBytes).toBeGreaterThan(10e6);
    expect(empty.arenaBytes).toBe(0);
    await model.detect(picture(1), NUT);
    const used = model.memoryUsage();
    expect(used.weightsBytes).toBe(empty.weightsBytes);
    expect(used.arenaBytes).toBeGreaterThan(100e3);
    expect(used.peakBytes).toBeGreaterThanOrEqual(used.weightsBytes + used.arenaBytes);
    await model.dispose();
    expect(model.memoryUsage()).toMatchObject({ weightsBytes: 0, arenaBytes: 0 });
  });
});
