// The starter model: what `AcdClip.load()` gives when it is told nothing.
import { spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import * as path from 'node:path';
import sharp from 'sharp';
import { AcdClip, datasets, describeCheckpoint, starterModel } from '../../lib';
import { cli, writePicture } from './cli/cli-helpers';

const ROOT = path.join(__dirname, '..', '..');
const HINT =
  'Using the starter model; choose another with --bundle, or with --backbone and --adapter\n';
const folder = mkdtempSync(path.join(tmpdir(), 'acd-starter-'));
let picture: string;

beforeAll(async () => {
  picture = await writePicture(path.join(folder, 'stripes.png'));
});
afterAll(() => rmSync(folder, { recursive: true }));

test('its file has the committed sha256, and git ignores neither', () => {
  const line = readFileSync(path.join(path.dirname(starterModel.path), 'starter.sha256'), 'utf8');
  const sha256 = createHash('sha256').update(readFileSync(starterModel.path)).digest('hex');
  expect(line).toBe(`${sha256}  starter.safetensors\n`);
  const names = ['assets/starter.safetensors', 'assets/starter.sha256'];
  const ignored = spawnSync('git', ['check-ignore', ...names], { cwd: ROOT, encoding: 'utf8' });
  expect(ignored.stdout).toBe('');
});

test('is a bundle in which nothing is wrong', async () => {
  expect(await describeCheckpoint(starterModel.path)).toMatchObject({
    kind: 'bundle',
    problems: [],
    backbone: { vocabSize: 49408 },
  });
});

test('loads without arguments in less than a second, and scores a picture of anything', async () => {
  const start = performance.now();
  const model = await AcdClip.load();
  expect(performance.now() - start).toBeLessThan(1000);
  for (const className of ['hazelnut', 'plaque émaillée']) {
    const { score, map } = await model.detect(picture, { className });
    expect(score).toBeGreaterThanOrEqual(0);
    expect(score).toBeLessThanOrEqual(1);
    expect(map!.data).toHaveLength(model.imageSize ** 2);
    expect(map!.data.every((v) => v >= 0 && v <= 1)).toBe(true);
  }
  await model.dispose();
});

test('is the same model as when its path is given, and the logger says which it is', async () => {
  const said: string[] = [];
  const models = [
    await AcdClip.load({ logger: (_, message) => said.push(message) }),
    await AcdClip.load({ bundle: starterModel.path }),
  ];
  expect(models[0]!.modelId).toBe(models[1]!.modelId);
  expect(said).toContain(
    `no backbone and no bundle given: using the starter model ${starterModel.path}`,
  );
  await Promise.all(models.map((m) => m.dispose()));
});

test('does not replace half of a model', async () => {
  await expect(AcdClip.load({ adapter: starterModel.path })).rejects.toMatchObject({
    code: 'ERR_ACD_INVALID_ARG',
    message: expect.stringContaining('for backbone beside the adapter'),
  });
});

describe('the command line', () => {
  const args = () => ['detect', picture, '--class', 'nut', '--format', 'ndjson'];

  test('says once on stderr that it uses it, and how to use another', async () => {
    const { code, out, err } = await cli(args());
    expect(code).toBe(0);
    expect(JSON.parse(out).score).toBeGreaterThanOrEqual(0);
    expect(err.startsWith(HINT)).toBe(true);
    expect(err.split('starter')).toHaveLength(2);
  });

  test('says nothing with --quiet, or when a model is named', async () => {
    expect(await cli([...args(), '--quiet'])).toMatchObject({ code: 0, err: '' });
    const named = await cli(args(), { env: { ACD_BUNDLE: starterModel.path } });
    expect(named.code).toBe(0);
    expect(named.err).not.toContain('starter model');
  });

  test('calibrates with it', async () => {
    const { code, out, err } = await cli(['calibrate', picture, '--class', 'nut']);
    expect(code).toBe(0);
    expect(JSON.parse(out)).toMatchObject({ kind: 'acd-clip-profile', images: 1 });
    expect(err).toContain(HINT);
  });

  test('finds it when it examines the installation', async () => {
    const { code, out } = await cli(['inspect']);
    expect(code).toBe(0);
    expect(out).toMatch(/^Starter model +present$/m);
  });
});

test('the generator that its recipe trains with can be built without the addon', () => {
  const build = path.join(folder, 'generator');
  const configured = spawnSync('cmake', ['-S', ROOT, '-B', build, '-DACD_ADDON=OFF']);
  expect(configured.status).toBe(0);
  const targets = spawnSync('cmake', ['--build', build, '--target', 'help'], { encoding: 'utf8' });
  expect(targets.stdout).toMatch(/\bacd_datagen\b/);
});

test('marks damage on generated pictures of classes that it was not trained on', async () => {
  const set = path.join(folder, 'set');
  const classes = ['leather', 'marble', 'coin', 'cookie'];
  await datasets.generate(set, { count: 16, classes, seed: 41, abnormalRatio: 1 });
  const manifest = readFileSync(path.join(set, 'manifest.jsonl'), 'utf8').trim().split('\n');
  const model = await AcdClip.load();
  let marked = 0;
  for (const line of manifest) {
    const { image_path, mask_path, class_name } = JSON.parse(line);
    const { map } = await model.detect(path.join(set, image_path), { className: class_name });
    const side = model.imageSize;
    const mask = await sharp(path.join(set, mask_path))
      .resize(side, side, { kernel: 'nearest' })
      .extractChannel(0)
      .raw()
      .toBuffer();
    if (meanWhere(map!.data, mask, true) > 1.5 * meanWhere(map!.data, mask, false)) marked++;
  }
  await model.dispose();
  expect(manifest).toHaveLength(16);
  expect(marked).toBeGreaterThanOrEqual(12);
});

function meanWhere(map: Float32Array, mask: Buffer, damaged: boolean): number {
  const chosen = map.filter((_, i) => mask[i]! > 0 === damaged);
  return chosen.reduce((sum, v) => sum + v, 0) / chosen.length;
}
