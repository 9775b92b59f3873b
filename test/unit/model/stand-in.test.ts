// Device 'cuda' from JavaScript down to the table, over a stand-in that needs no GPU, and what fp8
// does to the starter's maps there: the kernels' roundings on the CPU (test/plugin/stand_in.cc).
import { spawnSync } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import * as path from 'node:path';

const ROOT = path.join(__dirname, '..', '..', '..');
const PLUGIN = path.join(ROOT, 'build', 'Release', 'libacd_stand_in.so');
const env = { ...process.env, ACD_CUDA_PLUGIN: PLUGIN };
const withStandIn = existsSync(PLUGIN) ? test : test.skip;

function answer(script: string): Record<string, unknown> {
  const code = `
    require(${JSON.stringify(path.join(ROOT, 'test/lifecycle/register.cjs'))});
    const { AcdClip, getCudaInfo, listDevices } = require(${JSON.stringify(path.join(ROOT, 'lib'))});
    (async () => { ${script} })().then((a) => console.log(JSON.stringify(a)));`;
  const child = spawnSync(process.execPath, ['-e', code], { cwd: ROOT, env, encoding: 'utf8' });
  if (child.status !== 0) throw new Error(child.stderr);
  return JSON.parse(child.stdout);
}

withStandIn('a CUDA device is listed with its precisions, and computes when asked for', () => {
  const a = answer(`
    const cuda = listDevices().find((d) => d.id === 'cuda:0');
    const data = new Uint8Array(60 * 40 * 3).map((_, i) => (i * 37) % 251);
    const scores = {};
    let choices;
    for (const [device, precision] of [['cpu', 'fp32'], ['cuda', 'fp32'], ['cuda:0', 'fp8']]) {
      const model = await AcdClip.load({ device, precision });
      const found = await model.detect({ data, width: 60, height: 40, channels: 3 }, { className: 'nut' });
      choices = getCudaInfo().choices;
      scores[device] = [model.device, model.precision, found.score];
      await model.dispose();
    }
    const refused = await AcdClip.load({ device: 'cuda', precision: 'int8' }).catch((e) => e.message);
    return { precisions: cuda.precisions.filter((p) => p.available).map((p) => p.name), scores, refused, choices };`);
  expect(a.precisions).toEqual(['fp32', 'bf16', 'fp16', 'fp8']);
  const { cpu, cuda, 'cuda:0': fp8 } = a.scores as Record<string, [string, string, number]>;
  expect(cuda).toEqual(['cuda:0', 'fp32', cpu![2]]);
  expect(fp8!.slice(0, 2)).toEqual(['cuda:0', 'fp8']);
  expect(fp8![2]).not.toBe(cpu![2]);
  expect(Math.abs(fp8![2] - cpu![2])).toBeLessThan(0.05);
  expect(a.choices).toEqual(['cuda:0: every op: the CPU']);
  expect(a.refused).toBe(
    'Precision int8 cannot be used on cuda:0: CUDA multiplies fp8 in its place',
  );
});

withStandIn("'auto' takes a GPU whose kind is checked, and the CPU where that cannot do it", () => {
  // A process each: the first budget of a GPU is that of all.
  const told = (options: object) =>
    answer(`
      const model = await AcdClip.load(${JSON.stringify(options)}).catch((e) => e);
      const checked = listDevices().map((d) => d.checked);
      if (model.code) return { code: model.code, checked };
      await model.dispose();
      return { device: model.device, reason: model.deviceReason, checked };`);
  const found = told({});
  expect(found).toMatchObject({ device: 'cuda:0', checked: [true, true] });
  expect(found.reason).toMatch(/^found: .+/);
  const lacking = told({ precision: 'int8' });
  expect(lacking.device).toBe('cpu');
  expect(lacking.reason).toMatch(/^cuda:0 .+ has no int8: /);
  const full = told({ memoryBudget: 1000 });
  expect(full.device).toBe('cpu');
  expect(full.reason).toMatch(/^cuda:0 was tried: .+no memory left/);
  expect(told({ memoryBudget: 1000, precision: 'fp8' }).code).toBe('ERR_ACD_OUT_OF_MEMORY');
  expect(told({ memoryBudget: 1000, device: 'cuda' }).code).toBe('ERR_ACD_OUT_OF_MEMORY');
});

withStandIn("fp8 keeps the starter's maps near those of fp32", () => {
  const json = path.join(tmpdir(), `acd-accuracy-${process.pid}.json`);
  const args = ['bench/accuracy.mjs', '--device', 'cuda', '--precisions', 'fp8', '--count', '24'];
  spawnSync(process.execPath, [...args, '--json', json], { cwd: ROOT, env });
  const { results } = JSON.parse(readFileSync(json, 'utf8'));
  const fp8 = results.find((r: { precision: string }) => r.precision === 'fp8');
  expect(fp8.meanDifference).toBeGreaterThan(1e-5);
  expect(fp8.meanDifference).toBeLessThan(0.005);
  expect(fp8.largestDifference).toBeLessThan(0.15);
});
