// `device: 'cuda'` from JavaScript down to the backend's memory, over a plugin without a GPU: its
// devices' memory is the process's and their ops are the CPU's (test/plugin).
import * as path from 'node:path';
import { children, fine } from './child';

const run = children();
const plugin = path.join(__dirname, '../../build/libacd_fake_cuda.so');
const onPlugin = (script: string) =>
  run(
    `const on = (device, o = {}) => load({ device, precision: 'fp32', ...o });
    const said = (work) => work.then(() => 'fine', (e) => ({ code: e.code, message: e.message, help: e.help }));
    const mapOf = (found) => Buffer.from(found.map.data.buffer).toString('base64');
    ${script}`,
    { env: { ACD_CUDA_PLUGIN: plugin } },
  );

test('devices are found by index, and one that is not there is refused', async () => {
  const { ids, chosen, automatic, missing } = fine(
    await onPlugin(`
      const ids = lib('runtime').listDevices().map((d) => [d.id, d.available]);
      const models = await Promise.all(['cuda', 'cuda:0', 'cuda:1'].map((d) => on(d)));
      const automatic = await on('auto');
      answer({ ids, chosen: models.map((m) => m.device), automatic: automatic.device,
               missing: await said(on('cuda:2')) });
    `),
  );
  expect(ids).toEqual([
    ['cpu', true],
    ['cuda:0', true],
    ['cuda:1', true],
  ]);
  expect(chosen).toEqual(['cuda:0', 'cuda:0', 'cuda:1']);
  expect(automatic).toBe('cuda:0');
  expect(missing.code).toBe('ERR_ACD_DEVICE_UNAVAILABLE');
});

test('every way of asking gives the CPU’s maps: alone, a stream of many, raw and resized', async () => {
  const { equal, embedded } = fine(
    await onPlugin(`
      const [cpu, gpu] = await Promise.all([on('cpu'), on('cuda:1')]);
      const pictures = Array.from({ length: 40 }, (_, i) => picture(i % 7, 20 + 3 * (i % 5)));
      const options = { ...NUT, map: 'image' };
      const expected = await cpu.detectBatch(pictures, options);
      const found = await gpu.detectBatch(pictures, options);
      const alone = await gpu.detect(pictures[3], options);
      const equal = [...found.map((f, i) => f.score === expected[i].score && mapOf(f) === mapOf(expected[i])),
                     mapOf(alone) === mapOf(expected[3])];
      const e = await Promise.all([cpu, gpu].map((m) => m.embed(picture(2), { patches: true })));
      answer({ equal, embedded: [0, 1].map((i) => Buffer.from(e[i].patches.buffer).toString('base64')) });
    `),
  );
  expect(equal).toEqual(Array(41).fill(true));
  expect(embedded[0]).toBe(embedded[1]);
});

test('models of one GPU share their weights, also across workers; each GPU has its own', async () => {
  const { stores, scores } = fine(
    await onPlugin(`
      const native = lib('binding').native();
      const stores = [];
      const models = [await on('cuda:0')];
      stores.push(native.storeInfo());
      models.push(await on('cuda:0', { threads: 1 }));
      stores.push(native.storeInfo());
      const { Worker } = require('node:worker_threads');
      const spec = { ...(await specOf()), precision: 'fp32', device: 'cuda:0' };
      const { identity } = lib('checkpoint').planModel({ bundle: await lib('checkpoint').readCheckpoint(file) });
      spec.shareKey = [identity, 'cuda:0', 'fp32'].join(':');
      const worker = new Worker(
        "require(" + JSON.stringify(process.cwd() + '/test/lifecycle/register.cjs') + ");" +
        "const { parentPort, workerData } = require('node:worker_threads');" +
        "const native = require(" + JSON.stringify(process.cwd() + '/lib/binding') + ").native();" +
        "(async () => { const m = await native.load(workerData.spec, () => {}).result;" +
        "parentPort.postMessage((await m.detect(workerData.job).result).score);" +
        "parentPort.once('message', async () => { await m.dispose(); parentPort.close(); }); })();",
        { eval: true, workerData: { spec, job: jobOf(spec.config) } });
      const score = await new Promise((resolve, reject) => {
        worker.once('message', resolve); worker.once('error', reject);
      });
      stores.push(native.storeInfo());
      models.push(await on('cuda:1'));
      stores.push(native.storeInfo());
      worker.postMessage('end');
      await new Promise((r) => worker.once('exit', r));
      const mine = await native.load(spec, () => {}).result;
      const scores = [score, (await mine.detect(jobOf(spec.config)).result).score];
      await mine.dispose();
      await Promise.all(models.map((m) => m.dispose()));
      stores.push(native.storeInfo());
      answer({ stores, scores });
    `),
  );
  expect(stores.map((s: { models: number }) => s.models)).toEqual([1, 1, 1, 2, 0]);
  expect(stores[3].bytes).toBe(2 * stores[0].bytes);
  expect(stores[4].bytes).toBe(0);
  expect(scores[0]).toBe(scores[1]);
});

test('memoryBudget bounds a GPU: what does not fit says what was asked and what is free', async () => {
  const { tight, second, after, other, again, cpu, wrong, warned } = fine(
    await onPlugin(`
      const tight = await said(on('cuda', { memoryBudget: 1 << 20 }));
      const first = await on('cuda', { memoryBudget: 200 << 20 });
      const { weightsBytes } = first.memoryUsage();
      // The same weights again cost nothing; another budget is refused while the first one holds.
      const second = [await said(on('cuda')), await said(on('cuda:0', { memoryBudget: 200 << 20 })),
                      await said(on('cuda', { memoryBudget: 1 << 30 }))];
      const other = await said(on('cuda:1', { memoryBudget: 300 << 20 }));
      const after = await said(first.detect(picture(), NUT));
      const again = weightsBytes < 200 << 20;
      const warnings = [];
      await on('auto', { memoryBudget: 5, logger: (level, m) => level === 'warn' && warnings.push(m) });
      answer({ tight, second, after, other, again, warned: warnings,
               cpu: await said(on('cpu', { memoryBudget: 5 })),
               wrong: await said(on('cuda', { memoryBudget: 0.5 })) });
    `),
  );
  expect(tight.code).toBe('ERR_ACD_OUT_OF_MEMORY');
  expect(tight.message).toMatch(
    /^Device cuda:0 is out of memory: [\d.]+ MiB were asked for, [\d.]+ MiB of 1024.0 MiB are free, .* with a budget of 1.0 MiB$/,
  );
  expect(tight.help).toMatch(/memory is free/);
  expect(second[0]).toBe('fine');
  expect(second[1]).toBe('fine');
  expect(second[2].code).toBe('ERR_ACD_INVALID_ARG');
  expect(second[2].message).toMatch(
    /cuda:0 was opened with, with 209715200 bytes, as it is in use/,
  );
  expect([after, other, again]).toEqual(['fine', 'fine', true]);
  expect(warned).toEqual([
    expect.stringMatching(
      /^cuda:0 was tried: Expected for memoryBudget what cuda:0 was opened with/,
    ),
    'memoryBudget bounds memory of GPUs: the CPU was taken without it',
  ]);
  expect(cpu).toMatchObject({ code: 'ERR_ACD_INVALID_ARG' });
  expect(wrong).toMatchObject({ code: 'ERR_ACD_INVALID_ARG' });
});

test('batches that do not fit into the budget become smaller, and every picture is answered', async () => {
  const { wide, narrow, equal } = fine(
    await onPlugin(`
      const native = lib('binding').native();
      const spec = { ...(await specOf()), precision: 'fp32', device: 'cuda:1', shareKey: '' };
      spec.config = { ...spec.config, imageSize: 140 };  // megabytes: the pool's rounding is none
      const use = async (o) => {
        const model = await native.load({ ...spec, ...o }, () => {}).result;
        await model.detect(jobOf(spec.config)).result;
        const { weightsBytes, arenaBytes } = model.memoryUsage();
        const all = await Promise.all(
          Array.from({ length: 60 }, () => model.detect(jobOf(spec.config)).result));
        const bytes = model.memoryUsage().arenaBytes;
        await model.dispose();
        return { weightsBytes, one: arenaBytes, all, bytes };
      };
      const wide = await use({});
      const narrow = await use({ memoryBudget: wide.weightsBytes + 9 * wide.one });
      const maps = (found) => found.all.map((f) => Buffer.from(f.map.buffer).toString('base64'));
      answer({ wide: wide.all.map((f) => f.batch), narrow: narrow.all.map((f) => f.batch),
               equal: new Set([...maps(wide), ...maps(narrow)]).size });
    `),
  );
  expect(equal).toBe(1);
  expect([wide.length, narrow.length]).toEqual([60, 60]);
  expect(Math.max(...wide)).toBe(24);
  expect(Math.max(...narrow)).toBeGreaterThan(1);
  expect(Math.max(...narrow)).toBeLessThanOrEqual(6);
});
