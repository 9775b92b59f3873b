// What the benches make of their measurements; measuring itself is not tested.
import { spawnSync } from 'node:child_process';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';

const REPORT = pathToFileURL(join(__dirname, '../../bench/lib/report.mjs')).href;

/** In a child: Jest cannot load ES modules. */
function report(code: string): unknown {
  const source = `
    const r = await import(${JSON.stringify(REPORT)});
    const side = (key, ms, more = {}) => ({
      key, name: key, kind: key.startsWith('ours') ? 'ours' : 'peer', precision: key.split('-').at(-1),
      rounds: ms.map((v, i) => ({ round: i + 1, ms: v, cpuMs: 2 * v, ...more })),
      textMs: [], loadMs: 1000, memory: { peak: 2 ** 30 },
    });
    const difference = (mean) => ({ difference: { mean, max: 10 * mean, range: 0.5 } });
    const answer = await (async () => { ${code} })();
    console.log(JSON.stringify(answer ?? null));`;
  const done = spawnSync(process.execPath, ['--input-type=module', '-e', source], {
    encoding: 'utf8',
  });
  if (done.status !== 0) throw new Error(done.stderr);
  return JSON.parse(done.stdout);
}

test('a ratio is paired round by round: a machine that halves its speed changes nothing', () => {
  const ratio = report(`
    return r.pairedRatio(side('ours-fp32', [10, 20, 10]), side('torch-sdpa-fp32', [15, 30, 15, 99]));`);
  expect(ratio).toMatchObject({ n: 3, median: 1.5, min: 1.5, max: 1.5 });
  expect(report(`return r.pairedRatio(side('ours-fp32', []), side('p', [1])) ?? 'none';`)).toBe(
    'none',
  );
});

test('the table marks every peer that is faster than ours', () => {
  const text = report(`
    return r.sidesTable([side('ours-fp32', [10, 10], difference(0)), side('torch-sdpa-fp32', [8, 8]),
      side('onnx-python-fp32', [12, 12])]);`) as string;
  const line = (name: string) => text.split('\n').find((l) => l.includes(name))!;
  expect(line('torch-sdpa-fp32')).toContain('0.80x SLOWER');
  expect(line('onnx-python-fp32')).toContain('1.20x');
  expect(line('onnx-python-fp32')).not.toContain('SLOWER');
});

test('targets are reached, missed or not measured, against the fastest peer of a kind', () => {
  const all = report(`
    return r.targets([side('ours-fp32', [10]), side('ours-int8', [4], difference(0.006)),
      side('torch-published-fp32', [21]), side('onnx-python-int8', [7]), side('onnx-node-int8', [5])]);`);
  expect(all).toEqual([
    expect.objectContaining({ measured: '2.10x', reached: true }),
    expect.objectContaining({ measured: 'not measured' }),
    expect.objectContaining({ measured: 'not measured' }),
    expect.objectContaining({ measured: 'not measured' }),
    expect.objectContaining({ measured: '1.25x', reached: false }),
    expect.objectContaining({ measured: '5.25x', reached: false }),
    expect.objectContaining({ measured: 'not measured' }),
    expect.objectContaining({ measured: '6.0e-3', reached: false }),
  ]);
});

describe('against an earlier run', () => {
  const compare = (now: string, threshold = '') =>
    report(`
      const old = [side('ours-fp32', [10, 10], difference(1e-7)), side('a', [20, 20]), side('b', [15, 15])];
      return r.compareRuns(old, ${now} ${threshold});`) as {
      change?: number;
      peers: number;
      worse: boolean;
      why: string;
    }[];

  test('a slower machine is no regression', () => {
    const [c] = compare(
      `[side('ours-fp32', [30, 30], difference(1e-7)), side('a', [60, 60]), side('b', [45, 45])]`,
    );
    expect(c).toMatchObject({ worse: false, peers: 2, why: '' });
    expect(c!.change).toBeCloseTo(1);
  });

  test('losing more than the threshold to the peers is one, less is not', () => {
    const at = (ms: number) =>
      compare(
        `[side('ours-fp32', [${ms}], difference(1e-7)), side('a', [20]), side('b', [15])]`,
      )[0];
    expect(at(10.7)).toMatchObject({ worse: false });
    expect(at(11)).toMatchObject({ worse: true, why: 'slower by more than 8 %' });
  });

  test('a map further from fp32 is one, and so is a precision that is gone', () => {
    const [far] = compare(`[side('ours-fp32', [10], difference(1e-4)), side('a', [20])]`);
    expect(far).toMatchObject({ worse: true, why: 'map difference 1.0e-7 became 1.0e-4' });
    expect(compare(`[side('a', [20])]`)[0]).toMatchObject({ worse: true });
  });

  test('rounds of two runs are joined side by side', () => {
    const joined = report(`
      const [a] = r.joinRuns([side('ours-fp32', [1, 2])], [side('ours-fp32', [3])]);
      return a.rounds.map((x) => x.ms);`);
    expect(joined).toEqual([1, 2, 3]);
  });
});

test("a picture's profile adds up to its time and knows the products by their shapes", () => {
  const profile = pathToFileURL(join(__dirname, '../../bench/lib/profile.mjs')).href;
  const stages = report(`
    const { profileOf } = await import(${JSON.stringify(profile)});
    const c = { imageSize: 28, patchSize: 14, visionWidth: 64, visionLayers: 2, groups: 2, embedDim: 32,
      adapterHidden: 16, loraRank: 8, kernelSizes: [3, 5] };
    const linear = (from, to, ms) => ({ op: 'linear', rows: 5, from, to, calls: 2, ms });
    const timing = { preprocessMs: 1, computeMs: 10, postprocessMs: 0.5, stages: [
      linear(64, 192, 3), linear(64, 16, 1), linear(7, 9, 0.5),
      { op: 'attention', rows: 5, from: 1, to: 1, calls: 2, ms: 4 },
      { op: 'layer_norm', rows: 0, from: 0, to: 0, calls: 5, ms: 0.25 }] };
    return profileOf(timing, c, 12);`) as { name: string; ms: number; gflop: number }[];
  expect(stages.map((s) => s.name)).toEqual([
    'attention',
    'qkv product',
    'adapter down',
    'linear 7 > 9',
    'layer norm',
    'between the operations',
    'resize and normalise',
    'result',
    'queue, JavaScript, threads',
  ]);
  expect(stages.reduce((ms, s) => ms + s.ms, 0)).toBeCloseTo(12);
  expect(stages[0]!.gflop).toBeCloseTo((2 * 4 * 64 * 25) / 1e9, 12);
  expect(stages[1]!.gflop).toBeCloseTo((2 * 2 * 5 * 64 * 192) / 1e9, 12);
});
