// Worker threads that share weights, die at any moment, or are the only ones who load the addon.
import { children, fine } from './child';

const run = children();

// Workers of these scripts: `body` runs with spec, native and post at hand.
const WORKERS = `
  const { Worker } = require('node:worker_threads');
  const root = process.cwd();
  const start = (body, spec) => new Worker(
    "require(" + JSON.stringify(root + '/test/lifecycle/register.cjs') + ");" +
    "const { parentPort, workerData } = require('node:worker_threads');" +
    "const native = require(" + JSON.stringify(root + '/lib/binding') + ").native();" +
    "const spec = workerData.spec, job = workerData.job, post = (v) => parentPort.postMessage(v);" +
    "(async () => {" + body + "})();",
    { eval: true, workerData: { spec, job: jobOf(spec.config) } });
  const heard = (worker) => new Promise((resolve, reject) => {
    worker.once('message', resolve); worker.once('error', reject);
  });
`;

test('several workers share one copy of the weights, and all get the same bytes', async () => {
  const outcome = await run(`${WORKERS}
    const spec = await specOf();
    const native = lib('binding').native();
    const workers = [1, 2, 3, 4].map(() => start(
      "const m = await native.load(spec, () => {}).result;" +
      "const f = await m.detect(job).result; post(f.score);" +
      "parentPort.once('message', async () => { await m.dispose(); parentPort.close(); });", spec));
    const scores = await Promise.all(workers.map(heard));
    const held = native.storeInfo();
    for (const w of workers) w.postMessage('end');
    await Promise.all(workers.map((w) => new Promise((r) => w.once('exit', r))));
    answer({ held, scores, after: native.storeInfo() });`);
  const { held, scores, after } = fine(outcome);
  expect(held.models).toBe(1);
  expect(held.bytes).toBeGreaterThan(10e6);
  expect(new Set(scores).size).toBe(1);
  expect(after).toEqual({ models: 0, bytes: 0 });
});

test.each([
  ['load', 'for (;;) await (await native.load(spec, () => {}).result).dispose();'],
  [
    'inference',
    'const m = await native.load(spec, () => {}).result; for (;;) await Promise.all([m.detect(job).result, m.detect({ ...job, lent: true }).result, m.encodeText(new Int32Array(16).fill(7), 2, 8).result]);',
  ],
])('a worker may be terminated during %s at any moment, 60 times', async (_, body) => {
  const outcome = await run(`${WORKERS}
    const spec = { ...(await specOf()), imageSize: 84 };
    const native = lib('binding').native();
    let slowest = 0, seed = 7;
    const one = async () => {
      const worker = start(${JSON.stringify(body)}, spec);
      await new Promise((r) => worker.once('online', r));
      seed = (seed * 16807) % 2147483647;
      await sleep(20 + (seed % 300));
      const t0 = performance.now();
      await worker.terminate();
      slowest = Math.max(slowest, performance.now() - t0);
    };
    for (let i = 0; i < 20; i++) await Promise.all([one(), one(), one()]);
    const model = await native.load(spec, () => {}).result;
    const { score } = await model.detect(jobOf(spec.config)).result;
    await model.dispose();
    answer({ slowest, models: native.storeInfo().models, works: score > 0 });`);
  const { slowest, models, works } = fine(outcome);
  if (process.env.ACD_TEST_FIGURES) process.stderr.write(`terminate, slowest ms: ${slowest}\n`);
  expect(slowest).toBeLessThan(5000);
  expect(models).toBe(0);
  expect(works).toBe(true);
});

test('the addon may be loaded in workers alone and be unloaded with the last of them', async () => {
  const outcome = await run(`${WORKERS}
    const spec = await specOf();
    for (let i = 0; i < 6; i++) {
      const workers = [1, 2, 3].map(() => start(
        "const m = await native.load(spec, () => {}).result; post((await m.detect(job).result).score);", spec));
      const exits = workers.map((w) => new Promise((r) => w.once('exit', r)));
      await Promise.all(workers.map(heard));
      const codes = await Promise.all(exits);
      if (codes.some((c) => c !== 0)) throw new Error('worker ended with ' + codes);
    }
    answer('done');`);
  expect(fine(outcome)).toBe('done');
});

test('a worker that ends with a model in use takes nothing with it', async () => {
  const outcome = await run(`${WORKERS}
    const spec = await specOf();
    const native = lib('binding').native();
    const mine = await native.load(spec, () => {}).result;
    const expected = (await mine.detect(jobOf(spec.config)).result).score;
    const worker = start("const m = await native.load(spec, () => {}).result; for (let i = 0; i < 10; i++) m.detect(job).result.catch(() => {}); process.exit(0);", spec);
    await new Promise((r) => worker.once('exit', r));
    answer((await mine.detect(jobOf(spec.config)).result).score === expected);`);
  expect(fine(outcome)).toBe(true);
});
