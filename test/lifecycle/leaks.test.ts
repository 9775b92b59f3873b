// Memory comes back: after dispose, after garbage collection, after thousands of calls.
import { children, fine } from './child';

const run = children();

// One measure for the model and for the control that must fail it: what the last rounds hold more
// than those after a warm-up. A huge page more or less is 2 MB.
const MEASURE = `
  const growth = async (rounds, round) => {
    const rss = [];
    for (let i = 0; i < rounds; i++) {
      await round(i);
      if (i % 5 === 4) { global.gc(); await sleep(0); rss.push(process.memoryUsage.rss() / 1e6); }
    }
    const mean = (v) => v.reduce((a, b) => a + b, 0) / v.length;
    const n = Math.max(2, Math.floor(rss.length / 8));
    const warm = rss.slice(Math.floor(rss.length / 4));
    return mean(warm.slice(-n)) - mean(warm.slice(0, n));
  };
`;
const BOUND_MB = 16;
const figures = (name: string, value: unknown) => {
  if (process.env.ACD_TEST_FIGURES) process.stderr.write(`${name}: ${JSON.stringify(value)}\n`);
};

test('200 cycles of load, detect and dispose leave the process as large as it was', async () => {
  const outcome = await run(
    `${MEASURE}
    const native = lib('binding').native();
    const spec = await specOf();
    const mb = await growth(200, async () => {
      const model = await native.load(spec, () => {}).result;
      await model.detect(jobOf(spec.config)).result;
      await model.dispose();
    });
    answer({ mb, models: native.storeInfo().models });`,
    { execArgv: ['--expose-gc'] },
  );
  const { mb, models } = fine(outcome);
  figures('load cycles, MB', mb);
  expect(mb).toBeLessThan(BOUND_MB);
  expect(models).toBe(0);
});

test('the same check catches a leak of 256 KiB a cycle', async () => {
  const outcome = await run(
    `${MEASURE}
    const kept = [];
    answer(await growth(200, async () => { kept.push(Buffer.alloc(256 * 1024, 1)); await sleep(0); }));`,
    { execArgv: ['--expose-gc'] },
  );
  const mb = fine(outcome);
  figures('leaking control, MB', mb);
  expect(mb).toBeGreaterThan(BOUND_MB);
});

test('pixels that are lent to a waiting picture stay, whatever the collector does', async () => {
  const outcome = await run(
    `const side = 300;
    const spec = await specOf();
    const model = await lib('binding').native().load(spec, () => {}).result;
    const job = { ...jobOf(spec.config), width: side, height: side, lent: true };
    const pictures = [1, 2, 3].map((seed) => picture(seed, side).data);
    // No frame that waits holds the copy.
    const submit = (at) => model.detect({ ...job, pixels: pictures[at].slice() }).result;
    const detect = async (at) => (await submit(at)).score;
    const expected = [await detect(0), await detect(1), await detect(2)];
    let wrong = 0;
    for (let round = 0; round < 5; round++) {
      const waiting = Array.from({ length: 12 }, async (_, i) => {
        if ((await detect(i % 3)) !== expected[i % 3]) wrong++;
      });
      let settled = false;
      const all = Promise.all(waiting).then(() => { settled = true; });
      while (!settled) {
        global.gc();
        for (let i = 0; i < 4; i++) new Uint8Array(side * side * 3).fill(255);
        await sleep(0);
      }
      await all;
    }
    await model.dispose();
    answer({ wrong, distinct: new Set(expected).size });`,
    { execArgv: ['--expose-gc'] },
  );
  expect(fine(outcome)).toEqual({ wrong: 0, distinct: 3 });
});

test('500 calls, failed and cancelled ones among them, leave nothing behind', async () => {
  const outcome = await run(
    `${MEASURE}
    const model = await load();
    const textFeatures = await model.encodePrompts('nut');
    const handles = () => require('node:fs').readdirSync('/proc/self/fd').length;
    const threads = () => require('node:fs').readdirSync('/proc/self/task').length;
    await model.detect(picture(), { textFeatures });
    const before = { fd: handles(), threads: threads(), ...model.memoryUsage() };
    const mb = await growth(500, async (i) => {
      const stop = new AbortController();
      const call = model.detect(i % 7 ? picture(i % 3) : Buffer.from('bad'), { textFeatures, signal: stop.signal });
      if (i % 5 === 0) setImmediate(() => stop.abort());
      await call.catch(() => {});
    });
    const after = { fd: handles(), threads: threads(), ...model.memoryUsage() };
    answer({ mb, before, after });`,
    { execArgv: ['--expose-gc'] },
  );
  const { mb, before, after } = fine(outcome);
  figures('calls, MB', mb);
  expect(mb).toBeLessThan(BOUND_MB);
  expect(after.fd).toBe(before.fd);
  expect(after.threads).toBeLessThanOrEqual(before.threads + 1);
  expect(after.weightsBytes).toBe(before.weightsBytes);
  expect(after.arenaBytes).toBe(before.arenaBytes);
});

test('a model that is dropped without dispose is freed by the garbage collector', async () => {
  const outcome = await run(
    `const native = lib('binding').native();
    for (let i = 0; i < 3; i++) await (async () => { const m = await load({ threads: i + 1 }); await m.detect(picture(), NUT); })();
    const before = native.storeInfo().models;
    for (let i = 0; i < 200 && native.storeInfo().models > 0; i++) { global.gc(); await sleep(10); }
    answer({ before, after: native.storeInfo().models });`,
    { execArgv: ['--expose-gc'] },
  );
  expect(fine(outcome)).toEqual({ before: expect.any(Number), after: 0 });
});

test('a running call keeps its model alive though nobody else does', async () => {
  const outcome = await run(
    `const spec = await specOf();
    let call = (await lib('binding').native().load(spec, () => {}).result).detect(jobOf(spec.config)).result;
    for (let i = 0; i < 20; i++) { global.gc(); await sleep(0); }
    answer((await call).score > 0);`,
    { execArgv: ['--expose-gc'] },
  );
  expect(fine(outcome)).toBe(true);
});

test('running out of address space is an error or a full stop of the call, not of the process', async () => {
  const outcome = await run(
    `const spec = await specOf();
    const native = lib('binding').native();
    const impossible = { ...spec, shareKey: '', config: { ...spec.config, imageSize: 4088, patchSize: 14 } };
    const big = await native.load(impossible, () => {}).result;
    // A workspace of 85,264 patches asks for more than RLIMIT_AS leaves.
    const { execFileSync } = require('node:child_process');
    const used = Number(/VmSize:\\s+(\\d+)/.exec(require('node:fs').readFileSync('/proc/self/status', 'utf8'))[1]) * 1024;
    execFileSync('prlimit', ['--pid', String(process.pid), '--as=' + (used + 200e6) + ':']);
    const error = await big.detect(jobOf(spec.config)).result.catch((e) => e);
    execFileSync('prlimit', ['--pid', String(process.pid), '--as=unlimited:']);
    const small = await native.load(spec, () => {}).result;
    answer({ code: error.code, score: (await small.detect(jobOf(spec.config)).result).score > 0 });`,
  );
  expect(fine(outcome)).toEqual({ code: 'ERR_ACD_OUT_OF_MEMORY', score: true });
});
