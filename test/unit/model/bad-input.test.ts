// What bad input gets: a code, what was expected, what came, and a model that still works.
import { copyFileSync, mkdirSync, readFileSync, truncateSync, writeFileSync } from 'node:fs';
import * as path from 'node:path';
import { crc32 } from 'node:zlib';
import { AcdClip } from '../../../lib/acd-clip';
import { native } from '../../../lib/binding';
import { planModel, readCheckpoint, writeSafetensors } from '../../../lib/checkpoint';
import type { AcdClipErrorCode } from '../../../lib/errors';
import type { LoadOptions } from '../../../lib/model/types';
import { errorOf, NARROW, picture, pngOf, tinySuite } from '../../helpers/models';
import { writeTinyModel, writeTinyParts } from '../../helpers/tiny-model';

const suite = tinySuite();
const NUT = { className: 'metal nut' };
const load = (o: LoadOptions) => errorOf(AcdClip.load(o));

/** The suite's file with its header or its weights changed. */
function changed(
  name: string,
  edit: (header: Record<string, { shape: number[]; data_offsets: [number, number] }>) => void,
  bytes?: (
    file: Buffer,
    header: Record<string, { data_offsets: [number, number] }>,
    data: number,
  ) => void,
): string {
  const file = readFileSync(suite.file);
  const length = Number(file.readBigUInt64LE(0));
  const header = JSON.parse(file.toString('utf8', 8, 8 + length));
  edit(header);
  const data = Buffer.from(file.subarray(8 + length));
  bytes?.(data, header, 0);
  const json = Buffer.from(JSON.stringify(header));
  const head = Buffer.alloc(8);
  head.writeBigUInt64LE(BigInt(json.length));
  const to = path.join(suite.folder, name);
  writeFileSync(to, Buffer.concat([head, json, data]));
  return to;
}

const INTO_PROJ = 'visual.transformer.resblocks.1.mlp.c_fc.weight';

describe('a checkpoint', () => {
  test('that is not there is named', async () => {
    const error = await load({ bundle: '/nonexistent/model.safetensors' });
    expect(error.code).toBe('ERR_ACD_FILE_NOT_FOUND');
    expect(error.message).toContain('/nonexistent/model.safetensors');
  });

  test('that is a folder is not a format', async () => {
    expect((await load({ bundle: suite.folder })).code).toBe('ERR_ACD_CHECKPOINT_FORMAT');
  });

  const foreign: [string, Uint8Array, AcdClipErrorCode[]][] = [
    ['empty', Buffer.alloc(0), ['ERR_ACD_CHECKPOINT_FORMAT', 'ERR_ACD_CHECKPOINT_CORRUPT']],
    [
      'a text file',
      Buffer.from('hello, I am not a model\n'.repeat(20)),
      ['ERR_ACD_CHECKPOINT_FORMAT'],
    ],
    [
      'a PNG',
      Buffer.from('89504e470d0a1a0a0000000d49484452', 'hex'),
      ['ERR_ACD_CHECKPOINT_FORMAT'],
    ],
    [
      'an ELF file',
      Buffer.concat([Buffer.from('\x7fELF'), Buffer.alloc(200)]),
      ['ERR_ACD_CHECKPOINT_FORMAT'],
    ],
  ];
  test.each(foreign)('that is %s is refused as foreign', async (name, bytes, codes) => {
    const file = path.join(suite.folder, `foreign-${name.replaceAll(' ', '-')}`);
    writeFileSync(file, bytes);
    const error = await load({ bundle: file });
    expect(codes).toContain(error.code);
    expect(error.message).toContain(file);
  });

  test.each([0.001, 0.5, 0.999])('cut to %d of its length is corrupt', async (part) => {
    const file = path.join(suite.folder, `cut-${part}.safetensors`);
    copyFileSync(suite.file, file);
    truncateSync(file, Math.floor(readFileSync(suite.file).length * part));
    expect((await load({ bundle: file })).code).toBe('ERR_ACD_CHECKPOINT_CORRUPT');
  });

  test('with a tensor of another shape says which one, what was expected and what came', async () => {
    const file = changed('shape.safetensors', (h) => h[INTO_PROJ]!.shape.reverse());
    const error = await load({ bundle: file });
    expect(error.code).toBe('ERR_ACD_CHECKPOINT_MISMATCH');
    expect(error.message).toContain(INTO_PROJ);
    expect(error.message).toMatch(/256, ?64/);
    expect(error.message).toMatch(/64, ?256/);
  });

  test('without one of its tensors says which', async () => {
    const file = path.join(suite.folder, 'missing.safetensors');
    const checkpoint = await readCheckpoint(suite.file);
    const whole = readFileSync(suite.file);
    const kept = [...checkpoint.tensors.values()].filter((t) => t.name !== INTO_PROJ);
    await writeSafetensors(
      file,
      kept.map((t) => ({
        name: t.name,
        dtype: t.dtype as 'f32',
        shape: t.shape,
        data: whole.subarray(t.offset, t.offset + t.bytes),
      })),
    );
    const error = await load({ bundle: file, imageSize: 84 });
    expect(error.code).toBe('ERR_ACD_CHECKPOINT_MISMATCH');
    expect(error.message).toContain(INTO_PROJ);
  });

  test.each([
    ['NaN', Number.NaN],
    ['Infinity', Number.POSITIVE_INFINITY],
  ])('with %s among its weights is refused, and the tensor named', async (_, value) => {
    const file = changed(
      'nan.safetensors',
      () => {},
      (data, h) => data.writeFloatLE(value, h[INTO_PROJ]!.data_offsets[1] - 4),
    );
    const error = await load({ bundle: file });
    expect(error.code).toBe('ERR_ACD_CHECKPOINT_NON_FINITE');
    expect(error.message).toContain(INTO_PROJ);
  });

  test('that shrinks after it was parsed is corrupt, not a crash', async () => {
    const file = path.join(suite.folder, 'shrinks.safetensors');
    copyFileSync(suite.file, file);
    const plan = planModel({ bundle: await readCheckpoint(file) });
    truncateSync(file, 1_000_000);
    const spec = {
      ...plan,
      precision: 'fp32' as const,
      shareKey: '',
      threads: 1,
      queueLimit: 1,
    };
    await expect(native().load(spec, () => {}).result).rejects.toMatchObject({
      code: 'ERR_ACD_CHECKPOINT_CORRUPT',
      message: expect.stringContaining(`${file} ends inside tensor `),
    });
  });

  test('that vanishes after it was parsed is not found', async () => {
    const plan = planModel({ bundle: await readCheckpoint(suite.file) });
    const spec = {
      ...plan,
      files: ['/nonexistent/x'],
      precision: 'fp32' as const,
      shareKey: '',
      threads: 1,
      queueLimit: 1,
    };
    await expect(native().load(spec, () => {}).result).rejects.toMatchObject({
      code: 'ERR_ACD_FILE_NOT_FOUND',
    });
  });

  test('backbone and adapter go together and fit each other', async () => {
    const one = path.join(suite.folder, 'one');
    const two = path.join(suite.folder, 'two');
    mkdirSync(one);
    mkdirSync(two);
    const { backbone, adapter } = await writeTinyParts(one, NARROW);
    const other = await writeTinyParts(two);
    expect((await load({ backbone })).code).toBe('ERR_ACD_INVALID_ARG');
    expect((await load({ adapter })).code).toBe('ERR_ACD_INVALID_ARG');
    expect((await load({ backbone, adapter: backbone })).code).toBe('ERR_ACD_CHECKPOINT_MISMATCH');
    const swapped = await load({ backbone: other.backbone, adapter });
    expect(swapped.code).toBe('ERR_ACD_CHECKPOINT_MISMATCH');
    expect(swapped.message).toMatch(/vision width 128.*received 64/);
    expect((await load({ backbone, adapter, bundle: suite.file })).code).toBe(
      'ERR_ACD_INVALID_ARG',
    );
  });

  test('whose adapter trains the text side alone is refused with what is missing', async () => {
    const textOnly = path.join(suite.folder, 'text-only.safetensors');
    const data = new Uint8Array(64 * 4);
    await writeSafetensors(textOnly, [
      { name: 'text_adapter.m_t_w.0.i_w', dtype: 'f32', shape: [1, 1, 64], data },
    ]);
    const error = await load({ backbone: suite.file, adapter: textOnly });
    expect(error.code).toBe('ERR_ACD_CHECKPOINT_MISMATCH');
    expect(error.message).toMatch(/text/);
  });
});

describe('load', () => {
  const refused: [string, object, AcdClipErrorCode, RegExp][] = [
    ['an empty path', { bundle: '' }, 'ERR_ACD_INVALID_ARG', /non-empty string for bundle/],
    [
      '-1 threads',
      { threads: -1 },
      'ERR_ACD_INVALID_ARG',
      /integer between 1 and 1024 for threads but received -1/,
    ],
    ['2.5 threads', { threads: 2.5 }, 'ERR_ACD_INVALID_ARG', /for threads/],
    ['a queue of 0', { queueLimit: 0 }, 'ERR_ACD_INVALID_ARG', /for queueLimit/],
    [
      'an image size between patches',
      { imageSize: 90 },
      'ERR_ACD_INVALID_ARG',
      /multiple of the patch size 14/,
    ],
    [
      'device cuda',
      { device: 'cuda' },
      'ERR_ACD_DEVICE_UNAVAILABLE',
      /Device cuda cannot be used: \w+/,
    ],
    [
      'device cuda:7',
      { device: 'cuda:7' },
      'ERR_ACD_DEVICE_UNAVAILABLE',
      /Device cuda:7 cannot be used: \w+/,
    ],
    [
      'another device',
      { device: 'tpu' },
      'ERR_ACD_INVALID_ARG',
      /'auto', 'cpu', 'cuda' or 'cuda:N'/,
    ],
    [
      'precision fp16',
      { precision: 'fp16' },
      'ERR_ACD_UNSUPPORTED',
      /Precision fp16 cannot be used on cpu: processors multiply bf16/,
    ],
    [
      'precision fp8',
      { precision: 'fp8' },
      'ERR_ACD_UNSUPPORTED',
      /Precision fp8 cannot be used on cpu: processors multiply int8/,
    ],
    ['another precision', { precision: 'fp4' }, 'ERR_ACD_INVALID_ARG', /for precision/],
    ['an unknown option', { imagesize: 84 }, 'ERR_ACD_UNKNOWN_OPTION', /did you mean "imageSize"/],
    [
      'levels that do not ascend',
      { visionLevels: [4, 2, 6] },
      'ERR_ACD_INVALID_ARG',
      /visionLevels/,
    ],
    [
      'an unknown limit',
      { imageLimits: { pixel: 1 } },
      'ERR_ACD_UNKNOWN_OPTION',
      /did you mean "pixels"/,
    ],
  ];
  test.each(refused)('refuses %s', async (_, options, code, message) => {
    const source = 'bundle' in options ? {} : { bundle: suite.file };
    const error = await load({ ...source, ...options } as LoadOptions);
    expect(error.code).toBe(code);
    expect(error.message).toMatch(message);
  });
});

describe('a picture', () => {
  /** A PNG of one byte of data whose header claims any size. */
  function claiming(width: number, height: number): Buffer {
    const chunk = (type: string, data: Buffer) => {
      const body = Buffer.concat([Buffer.from(type), data]);
      const out = Buffer.alloc(body.length + 8);
      out.writeUInt32BE(data.length, 0);
      body.copy(out, 4);
      out.writeUInt32BE(crc32(body), body.length + 4);
      return out;
    };
    const head = Buffer.alloc(13);
    head.writeUInt32BE(width, 0);
    head.writeUInt32BE(height, 4);
    head.set([8, 2], 8);
    return Buffer.concat([
      Buffer.from('89504e470d0a1a0a', 'hex'),
      chunk('IHDR', head),
      chunk('IDAT', Buffer.from('789c0300000000 01'.replace(' ', ''), 'hex')),
      chunk('IEND', Buffer.alloc(0)),
    ]);
  }

  test('of 60,000 x 60,000 pixels is refused by its header, fast and without its memory', async () => {
    const image = claiming(60_000, 60_000);
    const costs: { ms: number; mb: number }[] = [];
    // Busy neighbours and the garbage of other tests make single figures larger: the best counts.
    for (let i = 0; i < 4; i++) {
      const before = process.memoryUsage.rss();
      const t0 = performance.now();
      const error = await errorOf(suite.model.detect(image, NUT));
      expect(error.code).toBe('ERR_ACD_IMAGE_LIMIT');
      expect(error.message).toContain('60000 x 60000');
      costs.push({
        ms: performance.now() - t0,
        mb: (process.memoryUsage.rss() - before) / 1e6,
      });
    }
    expect(Math.min(...costs.map((c) => c.ms))).toBeLessThan(500);
    expect(Math.min(...costs.map((c) => c.mb))).toBeLessThan(16);
  });

  const bad: [string, () => unknown, AcdClipErrorCode][] = [
    ['of 0 bytes', () => Buffer.alloc(0), 'ERR_ACD_IMAGE_FORMAT'],
    ['that is text', () => Buffer.from('hello'), 'ERR_ACD_IMAGE_FORMAT'],
    ['that is not there', () => '/nonexistent/a.png', 'ERR_ACD_FILE_NOT_FOUND'],
    ['that is a folder', () => suite.folder, 'ERR_ACD_FILE_READ'],
    ['at an http address', () => 'https://example.org/a.png', 'ERR_ACD_UNSUPPORTED'],
    ['that is a number', () => 5, 'ERR_ACD_INVALID_ARG'],
    ['that is null', () => null, 'ERR_ACD_INVALID_ARG'],
    ['with too few raw pixels', () => ({ ...picture(1), height: 41 }), 'ERR_ACD_INVALID_ARG'],
    ['with 5 channels', () => ({ ...picture(1), channels: 5 }), 'ERR_ACD_INVALID_ARG'],
    ['with a side of 0', () => ({ ...picture(1), width: 0 }), 'ERR_ACD_INVALID_ARG'],
    ['larger than the limits given to load', () => picture(1, 501, 500), 'ERR_ACD_IMAGE_LIMIT'],
  ];
  test.each(bad)('%s is refused, and the next call works', async (_, make, code) => {
    const model = await suite.load({ imageLimits: { pixels: 250_000 } });
    expect((await errorOf(model.detect(make() as never, NUT))).code).toBe(code);
    expect((await model.detect(picture(1), NUT)).score).toBeGreaterThan(0);
  });

  test('cut anywhere is an error, never half a picture', async () => {
    const png = await pngOf(picture(2));
    for (let part = 0.1; part < 0.95; part += 0.1) {
      const cut = png.subarray(0, Math.floor(png.length * part));
      expect((await errorOf(suite.model.detect(cut, NUT))).code).toBe('ERR_ACD_IMAGE_FORMAT');
    }
  });
});

describe('prompts', () => {
  test('that are too long say which one and how many tokens, before anything is decoded', async () => {
    const long = `a ${'broken '.repeat(90)}nut`;
    const error = await errorOf(
      suite.model.detect('/nonexistent/a.png', {
        prompts: { normal: ['a nut'], abnormal: ['a broken nut', long] },
      }),
    );
    expect(error.code).toBe('ERR_ACD_PROMPT_TOO_LONG');
    expect(error.message).toMatch(/at most 77 tokens for prompts\[2\].* has 94/);
    expect((await errorOf(suite.model.detect(picture(1), { className: long }))).code).toBe(
      'ERR_ACD_PROMPT_TOO_LONG',
    );
  });

  test.each([
    ['an empty class name', { className: '' }],
    ['a number', { className: 5 }],
    ['no abnormal sentence', { prompts: { normal: ['a'], abnormal: [] } }],
    ['an unknown dataset', { className: 'nut', dataset: 'MVTek' }],
    [
      'text features of the wrong size',
      { textFeatures: { data: new Float32Array(3), modelId: 'x' } },
    ],
    ['text features that are no object', { textFeatures: 'abc' }],
  ])('%s is refused', async (_, options) => {
    expect((await errorOf(suite.model.detect(picture(1), options as never))).code).toBe(
      'ERR_ACD_INVALID_ARG',
    );
  });

  test('text features with NaN give an error, never a score', async () => {
    const textFeatures = await suite.model.encodePrompts('nut');
    textFeatures.data[3] = Number.NaN;
    const error = await errorOf(suite.model.detect(picture(1), { textFeatures }));
    expect(error.code).toBe('ERR_ACD_NON_FINITE');
    const batch = await errorOf(suite.model.detectBatch([picture(1)], { textFeatures }));
    expect(batch.code).toBe('ERR_ACD_NON_FINITE');
    expect(batch.message).toContain('images[0]');
  });
});

test('after dispose every method says so, and what only reports still does', async () => {
  const model = await AcdClip.load({ bundle: suite.file, threads: 1 });
  const textFeatures = await model.encodePrompts('nut');
  await model.dispose();
  const calls: [string, Promise<unknown>][] = [
    ['detect', model.detect(picture(1), NUT)],
    ['detect with features', model.detect(picture(1), { textFeatures })],
    ['detectBatch', model.detectBatch([picture(1)], NUT)],
    ['detectStream', model.detectStream([picture(1)], NUT).next()],
    ['embed', model.embed(picture(1))],
    ['encodePrompts', model.encodePrompts('nut')],
    ['calibrate', model.calibrate([picture(1)], NUT)],
  ];
  for (const [, call] of calls) {
    const error = await errorOf(call);
    expect(error.code).toBe('ERR_ACD_DISPOSED');
    expect(error.help).toMatch(/AcdClip.load/);
  }
  await model.dispose();
  expect(model.disposed).toBe(true);
  expect(model.imageSize).toBe(84);
  expect(model.memoryUsage().weightsBytes).toBe(0);
});

test('a full queue refuses the call with a way out, and the next one works', async () => {
  const model = await suite.load({ queueLimit: 1, threads: 1 });
  const textFeatures = await model.encodePrompts('nut');
  const outcomes = await Promise.allSettled(
    Array.from({ length: 200 }, () => model.detect(picture(1, 8, 8), { textFeatures })),
  );
  const refused = outcomes.filter((o) => o.status === 'rejected').map((o) => o.reason);
  expect(refused.length).toBeGreaterThan(0);
  for (const error of refused) {
    expect(error.code).toBe('ERR_ACD_QUEUE_FULL');
    expect(error.help).toMatch(/detectBatch/);
  }
  expect((await model.detect(picture(1), { textFeatures })).score).toBeGreaterThan(0);
});

test('a model whose numbers overflow gives an error, never NaN', async () => {
  const folder = path.join(suite.folder, 'huge');
  mkdirSync(folder);
  const file = await writeTinyModel(folder, { ...NARROW, loraRank: 16 });
  const model = await AcdClip.load({
    bundle: file,
    threads: 1,
    loraAlpha: 1e6,
    convLoraAlpha: 1e6,
  });
  const outcome = await model.detect(picture(1), NUT).then(
    (found) => Number.isFinite(found.score) && found.map!.data.every(Number.isFinite),
    (error) => error.code === 'ERR_ACD_NON_FINITE',
  );
  expect(outcome).toBe(true);
  await model.dispose();
});
