// What `datasets generate` writes, and what it refuses.
import { createHash } from 'node:crypto';
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import * as path from 'node:path';
import sharp from 'sharp';
import { datasets } from '../../../lib';
import { native } from '../../../lib/binding';
import { cli } from '../cli/cli-helpers';

let root: string;
beforeEach(() => {
  root = mkdtempSync(path.join(tmpdir(), 'acd-datasets-'));
});
afterEach(() => {
  rmSync(root, { recursive: true, force: true });
});

interface Line {
  image_path: string;
  label: 0 | 1;
  class_name: string;
  mask_path?: string;
}

function manifest(folder: string): Line[] {
  const text = readFileSync(path.join(folder, 'manifest.jsonl'), 'utf8').trimEnd();
  return text.split('\n').map((line) => JSON.parse(line) as Line);
}

/** sha256 of every file, by its path. */
function contents(folder: string): Record<string, string> {
  const files = readdirSync(folder, { recursive: true, withFileTypes: true }) as never[] as {
    isFile(): boolean;
    parentPath: string;
    name: string;
  }[];
  return Object.fromEntries(
    files
      .filter((entry) => entry.isFile())
      .map((entry) => path.join(entry.parentPath, entry.name))
      .sort()
      .map((file) => [
        path.relative(folder, file),
        createHash('sha256').update(readFileSync(file)).digest('hex'),
      ]),
  );
}

const SMALL = { count: 16, seed: 3, size: 48, classes: ['wood', 'gear'] };

describe('what is written', () => {
  test('is the layout of MVTec AD with nouns and a manifest', async () => {
    const made = await datasets.generate(root, SMALL);
    expect(made).toEqual({ path: root, images: 16, abnormal: 8, classes: ['wood', 'gear'] });
    const lines = manifest(root);
    expect(lines).toHaveLength(16);
    for (const { image_path, label, class_name, mask_path } of lines) {
      const [name, split, kind] = image_path.split('/');
      expect([name, existsSync(path.join(root, image_path))]).toEqual([class_name, true]);
      expect(label === 0 ? kind === 'good' : split === 'test' && kind !== 'good').toBe(true);
      const expected = `${name}/ground_truth/${kind}/${path.basename(image_path, '.png')}_mask.png`;
      expect(mask_path).toBe(label === 1 ? expected : undefined);
      if (mask_path) expect(existsSync(path.join(root, mask_path))).toBe(true);
    }
    expect(lines.some(({ image_path }) => image_path === 'wood/train/good/000.png')).toBe(true);
    expect(lines.some(({ image_path }) => image_path === 'wood/test/good/000.png')).toBe(true);
    expect(JSON.parse(readFileSync(path.join(root, 'nouns.json'), 'utf8'))).toEqual({
      wood: 'wood surface',
      gear: 'gear wheel',
    });
  });

  test('pictures are RGB of the size asked for, masks grey and of two values', async () => {
    await datasets.generate(root, SMALL);
    const bad = manifest(root).find(({ label }) => label === 1)!;
    const picture = await sharp(path.join(root, bad.image_path)).metadata();
    expect(picture).toMatchObject({ width: 48, height: 48, channels: 3, format: 'png' });
    const mask = sharp(path.join(root, bad.mask_path!));
    const { data, info } = await mask.raw().toBuffer({ resolveWithObject: true });
    expect(info).toMatchObject({ width: 48, height: 48 });
    expect((await mask.metadata()).channels).toBe(1);
    expect([...new Set(data)].sort()).toEqual([0, 255]);
  });

  test('is the same, byte for byte, for the same seed, and another for another', async () => {
    const [a, b, c] = ['a', 'b', 'c'].map((name) => path.join(root, name)) as [
      string,
      string,
      string,
    ];
    await datasets.generate(a, SMALL);
    await datasets.generate(b, SMALL);
    await datasets.generate(c, { ...SMALL, seed: 4 });
    expect(contents(b)).toEqual(contents(a));
    const file = path.join('wood', 'train', 'good', '000.png');
    expect(contents(c)[file]).not.toBe(contents(a)[file]);
  });

  test('covers every class and every kind of defect when there are pictures enough', async () => {
    const { classes, defects } = native().datagen;
    await datasets.generate(root, { count: 31 * 6, size: 32, abnormalRatio: 1 });
    const lines = manifest(root);
    const names = new Set(lines.map(({ class_name }) => class_name));
    expect([...names].sort()).toEqual(
      classes()
        .map(({ name }) => name)
        .sort(),
    );
    const kinds = new Set(lines.map(({ image_path }) => image_path.split('/')[2]!));
    expect([...kinds].filter((kind) => kind !== 'good').sort()).toEqual([...defects()].sort());
  });

  test('keeps to the ratio, and reports progress to the last picture', async () => {
    const seen: number[] = [];
    const made = await datasets.generate(root, {
      count: 10,
      size: 32,
      classes: ['pill'],
      abnormalRatio: 0.3,
      onProgress: ({ done, total }) => seen.push(done / total),
    });
    expect(made.abnormal).toBe(3);
    expect(seen).toEqual(Array.from({ length: 10 }, (_, i) => (i + 1) / 10));
  });
});

describe('what is refused', () => {
  test('a folder with foreign files, even with overwrite, and nothing in it changes', async () => {
    writeFileSync(path.join(root, 'precious.txt'), 'mine');
    for (const overwrite of [false, true]) {
      await expect(datasets.generate(root, { ...SMALL, overwrite })).rejects.toMatchObject({
        code: 'ERR_ACD_INVALID_ARG',
        message: expect.stringContaining('not generated'),
      });
    }
    expect(readdirSync(root)).toEqual(['precious.txt']);
  });

  test('an earlier output, unless overwriting is allowed; then nothing of it is left', async () => {
    await datasets.generate(root, SMALL);
    await expect(datasets.generate(root, SMALL)).rejects.toMatchObject({
      code: 'ERR_ACD_INVALID_ARG',
    });
    await datasets.generate(root, { ...SMALL, classes: ['coin'], overwrite: true });
    expect(readdirSync(root).sort()).toEqual([
      '.acd-clip-generated',
      'coin',
      'manifest.jsonl',
      'nouns.json',
    ]);
  });

  test('unknown classes, with the nearest one named, before anything is written', async () => {
    const out = path.join(root, 'new');
    await expect(datasets.generate(out, { classes: ['wod'] })).rejects.toThrow(
      'did you mean "wood"?',
    );
    expect(existsSync(out)).toBe(false);
  });

  test.each([
    [{ count: 0 }, 'count'],
    [{ seed: -1 }, 'seed'],
    [{ size: 31 }, 'size'],
    [{ size: 1025 }, 'size'],
    [{ classes: [] }, 'classes'],
    [{ abnormalRatio: 2 }, 'abnormalRatio'],
  ])('%j', async (options, name) => {
    await expect(datasets.generate(path.join(root, 'x'), options)).rejects.toMatchObject({
      code: 'ERR_ACD_INVALID_ARG',
      message: expect.stringContaining(`for ${name}`),
    });
  });

  test('an abort stops it between two pictures; the rest can be overwritten', async () => {
    const stop = new AbortController();
    const run = datasets.generate(root, {
      ...SMALL,
      signal: stop.signal,
      onProgress: ({ done }) => done === 3 && stop.abort(new Error('enough')),
    });
    await expect(run).rejects.toThrow('enough');
    expect(existsSync(path.join(root, 'manifest.jsonl'))).toBe(false);
    await datasets.generate(root, { ...SMALL, overwrite: true });
    expect(manifest(root)).toHaveLength(16);
  });
});

describe('the addon', () => {
  const request = {
    seed: 1,
    index: 0,
    size: 64,
    classId: 0,
    defect: 3,
    sharedDesign: false,
  };

  test('gives the clean twin, from which every pixel of the mask differs', async () => {
    const { pixels, clean, mask, area, label } = await native().datagen.sample(request);
    expect(label).toBe(1);
    const marked = [...mask.keys()].filter((i) => mask[i] === 255);
    expect(marked).toHaveLength(area);
    const differs = (i: number) => [0, 1, 2].some((k) => pixels[3 * i + k] !== clean[3 * i + k]);
    expect(marked.every(differs)).toBe(true);
  });

  test('draws on its own threads while the event loop turns', async () => {
    let turns = 0;
    const timer = setInterval(() => turns++, 1);
    const big = Array.from({ length: 4 }, (_, index) =>
      native().datagen.sample({ ...request, size: 512, index }),
    );
    await Promise.all(big);
    clearInterval(timer);
    expect(turns).toBeGreaterThan(2);
  });

  test.each([{ size: 16 }, { classId: 99 }, { defect: 99 }, { seed: -1 }])(
    'refuses %j',
    (wrong) => {
      expect(() => native().datagen.sample({ ...request, ...wrong })).toThrow(
        expect.objectContaining({ code: 'ERR_ACD_INVALID_ARG' }),
      );
    },
  );
});

describe('the command', () => {
  const flags = ['--count', '8', '--seed', '5', '--size', '32', '--classes', 'mesh, pill'];

  test('writes the set, its path to stdout and a summary to stderr', async () => {
    const { code, out, err } = await cli(['datasets', 'generate', root, ...flags]);
    expect([code, out]).toEqual([0, `${root}\n`]);
    expect(err).toContain('8 pictures of 2 classes, 4 abnormal');
    expect(manifest(root)).toHaveLength(8);
  });

  test('refuses an earlier output with exit code 2 and says how to replace it', async () => {
    await cli(['datasets', 'generate', root, ...flags]);
    const again = await cli(['datasets', 'generate', root, ...flags]);
    expect([again.code, again.out]).toEqual([2, '']);
    expect(again.err).toContain('--overwrite');
    const forced = await cli(['datasets', 'generate', root, ...flags, '--overwrite', '-q']);
    expect([forced.code, forced.err]).toEqual([0, '']);
  });
});
