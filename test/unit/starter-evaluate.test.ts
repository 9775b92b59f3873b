import { spawnSync } from 'node:child_process';
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { datasets } from '../../lib';
import { NARROW } from '../helpers/models';
import { writeTinyModel } from '../helpers/tiny-model';

const SCRIPTS = join(__dirname, '../../scripts/starter');
const folder = mkdtempSync(join(tmpdir(), 'acd-starter-'));
afterAll(() => rmSync(folder, { recursive: true }));

/** In a child: Jest cannot load ES modules. */
function node(...args: string[]) {
  return spawnSync(process.execPath, args, { encoding: 'utf8' });
}

function module(code: string): unknown {
  const done = node('--input-type=module', '-e', code);
  if (done.status !== 0) throw new Error(done.stderr);
  return JSON.parse(done.stdout);
}

describe("the starter's evaluation", () => {
  test('scores the model, its untrained twins and the classical map on real and generated sets', async () => {
    const bundle = await writeTinyModel(folder, NARROW);
    const data = join(folder, 'data');
    for (const name of ['hazelnut_toy', 'magnetic_tile', 'kvasir_seg']) {
      const set = join(data, name);
      const abnormalRatio = name === 'kvasir_seg' ? 1 : 0.5;
      await datasets.generate(set, { count: 4, size: 64, classes: ['wood'], abnormalRatio });
    }
    forgetMasks(join(data, 'magnetic_tile/manifest.jsonl'));
    const [json, pictures] = [join(folder, 'report.json'), join(folder, 'pictures')];
    const paths = ['--data', data, '--bundle', bundle, '--json', json, '--pictures', pictures];
    const done = node(join(SCRIPTS, 'evaluate.mjs'), ...paths, '--generated-count', '16');
    expect(done.stderr).not.toContain('Error');
    expect(done.status).toBe(0);

    const report = JSON.parse(readFileSync(json, 'utf8'));
    expect(report).toMatchObject({ imageSize: 84, generated: { count: 16, seeds: [1] } });
    expect(report.bundle.sha256).toMatch(/^[0-9a-f]{64}$/);
    expect(report.generated.classes).toHaveLength(8);
    expect(report.sets).toHaveLength(4);
    const [hazelnut, tile, kvasir, generated] = report.sets;
    for (const set of [hazelnut, tile, generated]) {
      for (const method of ['starter', 'untrained', 'classical']) {
        expect(set.results[method].pixel.auroc).toBeGreaterThan(0);
        expect(set.results[method].image.auroc).not.toBeNull();
      }
    }
    expect(kvasir.results.starter.image).toEqual({ auroc: null, ap: null });
    const mean =
      (hazelnut.results.starter.pixel.auroc +
        tile.results.starter.pixel.auroc +
        kvasir.results.starter.pixel.auroc) /
      3;
    expect(report.realMean.starter.pixel.auroc).toBeCloseTo(mean, 12);
    expect(Object.keys(generated.runs[0].classes)).toHaveLength(8);
    expect(done.stdout).toContain('| mean over the real sets | starter |');
    expect(readdirSync(join(pictures, 'generated'))).toHaveLength(16);
  });

  test('says what a data folder needs', () => {
    const done = node(
      join(SCRIPTS, 'evaluate.mjs'),
      '--data',
      join(folder, 'none'),
      '--bundle',
      __filename,
    );
    expect(done.status).toBe(1);
    expect(done.stderr).toContain('hazelnut_toy, magnetic_tile, kvasir_seg');
  });
});

describe('the classical map', () => {
  test('is highest on a spot in a noisy field, and scores the field without it lower', () => {
    const code = `
      import { classicalMap } from ${JSON.stringify(pathToFileURL(join(SCRIPTS, 'baseline.mjs')).href)};
      const side = 64;
      const field = new Uint8Array(side * side * 3).map((_, i) => 120 + ((i * 7919) % 13));
      const spotted = field.slice();
      for (let y = 40; y < 46; y++) spotted.fill(40, 3 * (y * side + 20), 3 * (y * side + 26));
      const { map, score } = classicalMap(spotted, side);
      const at = map.indexOf(map.reduce((a, b) => Math.max(a, b)));
      const plain = classicalMap(field, side).score;
      const flat = classicalMap(new Uint8Array(side * side * 3), side).score;
      console.log(JSON.stringify({ x: at % side, y: Math.floor(at / side), score, plain, flat }));`;
    const { x, y, score, plain, flat } = module(code) as Record<string, number>;
    expect(Math.abs(x! - 22.5)).toBeLessThan(4);
    expect(Math.abs(y! - 42.5)).toBeLessThan(4);
    expect(score).toBeGreaterThan(2 * plain!);
    expect(flat).toBe(0);
  });
});

function forgetMasks(manifest: string): void {
  const lines = readFileSync(manifest, 'utf8').trim().split('\n');
  const without = lines.map((line) =>
    JSON.stringify({ ...JSON.parse(line), mask_path: undefined }),
  );
  writeFileSync(manifest, `${without.join('\n')}\n`);
}
