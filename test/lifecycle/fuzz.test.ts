// Every native entry point, called directly with what no caller should pass. The cases run in
// processes of their own: a crash is a failed test.
import { children, fine } from './child';

const run = children();

// Any JavaScript value, the odd ones often. A case is bounded: sizes are either small or beyond
// every limit, so that no case is a legitimate wish for gigabytes.
const HARNESS = `
  const fc = require('fast-check');
  const native = lib('binding').native();
  class Mine extends Error {}
  const throwing = () => new Proxy({}, {
    get() { throw new Mine('get'); }, has() { throw new Mine('has'); },
    ownKeys() { throw new Mine('keys'); }, getPrototypeOf() { throw new Mine('proto'); },
  });
  const detached = (View) => { const v = new View(16); structuredClone(v, { transfer: [v.buffer] }); return v; };
  const shared = (View, n) => new View(new SharedArrayBuffer(n * View.BYTES_PER_ELEMENT));
  const shrunk = () => { const b = new ArrayBuffer(64, { maxByteLength: 64 }); const v = new Float32Array(b, 32); b.resize(16); return v; };
  const number = fc.oneof(
    fc.constantFrom(NaN, Infinity, -Infinity, -0, 0, 1, -1, 2, 3, 0.5, 2 ** 31, 2 ** 32, 2 ** 53, -(2 ** 53), 1e300, 5e-324, 2 ** 20 + 1),
    fc.integer({ min: -4, max: 9 }));
  // fast-check looks into what it generates; hostile values are therefore made at the last moment.
  class Make { constructor(make) { this.make = make; } }
  const made = (v) => {
    if (v instanceof Make) return v.make();
    if (Array.isArray(v)) return v.map(made);
    if (v === null || typeof v !== 'object' || Object.getPrototypeOf(v) !== Object.prototype) return v;
    for (const [k, d] of Object.entries(Object.getOwnPropertyDescriptors(v))) if ('value' in d) v[k] = made(d.value);
    return v;
  };
  const odd = fc.oneof(
    number, fc.string(), fc.boolean(), fc.bigInt(),
    fc.constantFrom(undefined, null, '', [], {}, Symbol('s'), () => 1, new Date(NaN), 'none', 'model', 'gelu'),
    fc.constantFrom(throwing, () => detached(Float32Array), () => detached(Uint8Array), shrunk,
      () => { const p = Proxy.revocable([], {}); p.revoke(); return p.proxy; }).map((make) => new Make(make)),
    fc.constant(0).map(() => new DataView(new ArrayBuffer(8))), fc.array(number, { maxLength: 5 }));
  const views = [Float32Array, Uint8Array, Uint16Array, Int32Array, Float64Array, Uint8ClampedArray, BigInt64Array];
  const view = fc.tuple(fc.constantFrom(...views), fc.nat(400), fc.boolean())
    .map(([V, n, s]) => (s ? shared(V, n) : new V(n)));
  const any = fc.oneof({ weight: 3, arbitrary: odd }, view);
  const seen = {};
  let cases = 0;
  const allowed = (error) => {
    if (error instanceof Mine) { seen.mine = (seen.mine ?? 0) + 1; return; }
    // Revoked proxies and failed conversions are the engine's own TypeErrors.
    if (error instanceof TypeError && /revoked|Cannot convert|Cannot perform/.test(error.message)) return;
    if (!(error instanceof Error) || !/^ERR_ACD_/.test(error.code)) throw error;
    if (error.code === 'ERR_ACD_INTERNAL') throw error;
    seen[error.code] = (seen[error.code] ?? 0) + 1;
  };
  const attempt = async (call) => {
    cases++;
    try { const r = call(); if (r && r.result) await r.result; } catch (error) { allowed(error); }
  };
  const check = (arbitrary, body, numRuns) =>
    fc.assert(fc.asyncProperty(arbitrary, (v) => body(made(v))), { numRuns, seed: 20261123, endOnFailure: true });
`;

test('kernels: 6,000 calls with wrong types, sizes and buffers give errors or results', async () => {
  const outcome = await run(`${HARNESS}
    const names = Object.keys(native.kernels);
    const f32 = (n) => new Float32Array(n).map((_, i) => Math.sin(i));
    const u8 = (n) => new Uint8Array(n).map((_, i) => i * 7);
    // A valid call of each, of which single arguments are then replaced.
    const valid = {
      resizeBicubic: [u8(4 * 3 * 3), 4, 3, 3, 5, 6], resizeNearest: [u8(4 * 3 * 3), 4, 3, 3, 5, 6],
      resizeMap: [f32(12), 4, 3, 7, 5], preprocess: [u8(36), 4, 3, 8], regions: [f32(12), 4, 3, 0.5, 1],
      linear: [f32(6), f32(12), f32(4), 2, 4, 3, 'gelu', null], layerNorm: [f32(8), f32(4), f32(4), 2, 4],
      quantize: [f32(8), 2, 4],
      attention: [f32(2 * 3 * 64), 2, 1, true], convTokens: [f32(9 * 2), f32(3 * 2 * 9), 3, 2, 3, 3, 1],
      loraBlend: [f32(8), f32(4), f32(8), f32(4), 2, 4, 2], resizePositions: [f32(5 * 3), 2, 3, 3],
      fuseMap: [f32(2 * 4 * 4), f32(8), 2, 2, 8, 3, 1],
      patchify: [f32(3 * 16), 4, 2], assembleTokens: [f32(6), f32(2), f32(6), 3, 2],
      gatherTokens: [new Int32Array([1, 4]), f32(10), f32(4), 2, 5, 2],
      head: [f32(6), f32(8), f32(4), f32(4), f32(4), f32(12), 3, 2, 4, 3],
      gate: [f32(4), f32(12), f32(3), f32(12), f32(4), 4, 3, 2],
    };
    if (names.sort().join() !== Object.keys(valid).sort().join()) throw new Error('kernels: ' + names);
    for (const [name, args] of Object.entries(valid)) native.kernels[name](...args);
    // Numbers in bf16: results where the processor multiplies them, else an error that says so.
    const bf16s = (n) => new Uint16Array(new Uint8Array(f32(n).buffer).buffer).filter((_, i) => i % 2);
    const inBf16 = {
      linear: [bf16s(6), ...valid.linear.slice(1)], attention: [bf16s(2 * 3 * 64), 2, 1, true],
      layerNorm: [...valid.layerNorm, 'bf16'],
    };
    for (const [name, args] of Object.entries(inBf16)) {
      await attempt(() => native.kernels[name](...args));
      await check(fc.tuple(fc.nat(args.length - 1), any), ([i, a]) => {
        const changed = [...args];
        changed[i] = a;
        return attempt(() => native.kernels[name](...changed));
      }, 200);
    }
    for (const name of names) {
      const place = fc.nat(valid[name].length - 1);
      await check(fc.tuple(place, any, place, any, fc.boolean()), async ([i, a, j, b, both]) => {
        const args = [...valid[name]];
        args[i] = a;
        if (both) args[j] = b;
        await attempt(() => native.kernels[name](...args));
      }, 400);
      await check(fc.array(any, { maxLength: 9 }), (args) => attempt(() => native.kernels[name].apply(args[0], args)), 100);
      native.kernels[name](...valid[name]);
    }
    answer({ cases, seen });`);
  const { cases, seen } = fine(outcome);
  expect(cases).toBeGreaterThanOrEqual(6000);
  expect(seen.ERR_ACD_INVALID_ARG).toBeGreaterThan(1000);
});

test('a model: 3,000 detect, embed, encode and cancel calls give errors or results', async () => {
  const outcome = await run(`${HARNESS}
    const spec = await specOf();
    const model = await native.load({ ...spec, threads: 1 }, () => {}).result;
    const good = jobOf(spec.config);
    const { score } = await model.detect(good).result;
    const mutated = (base, more) => fc.tuple(
      fc.constantFrom(...Object.keys(base), ...more), any, fc.constantFrom(...Object.keys(base), ...more), any, fc.boolean(),
    ).map(([k, a, l, b, both]) => ({ ...base, [k]: a, ...(both && { [l]: b }) }));
    const getter = fc.constantFrom(...Object.keys(good)).map((k) => Object.defineProperty({ ...good }, k, { get() { throw new Mine(k); } }));
    // A getter that pulls the pixels away while the job is being read.
    const pulling = fc.constantFrom('width', 'tensor', 'map', 'text').map((k) => {
      const pixels = good.pixels.slice();
      const job = { ...good, pixels };
      Object.defineProperty(job, k, { enumerable: true, get() { if (pixels.length) structuredClone(pixels, { transfer: [pixels.buffer] }); return good[k]; } });
      return job;
    });
    await check(mutated(good, ['tensor', 'regionThreshold', 'regionMinArea', 'debug', 'stages']), (job) => attempt(() => model.detect(job)), 1000);
    await check(fc.oneof(getter, pulling, any), (job) => attempt(() => model.detect(job)), 300);
    await check(mutated({ pixels: good.pixels, width: 40, height: 40, patches: true }, ['tensor']), (job) => attempt(() => model.embed(job)), 500);
    const tokens = fc.oneof(any, fc.array(fc.integer(), { maxLength: 24 }).map((v) => Int32Array.from(v)));
    await check(fc.tuple(tokens, number, number, number), (a) => attempt(() => model.encodeClass(...a)), 400);
    await check(fc.tuple(tokens, any, any), (a) => attempt(() => model.encodeText(...a)), 400);
    await check(any, (id) => attempt(() => model.cancel(id)), 300);
    await check(any, (self) => attempt(() => model.queueDepth.call(self) + model.memoryUsage.call(self).arenaBytes), 100);
    const { imageSize } = spec.config;
    const tensor = new Float32Array(3 * imageSize * imageSize);
    const huge = { ...good, pixels: undefined, tensor, width: 2 ** 20, height: 2 ** 20, map: 'image' };
    await attempt(() => model.detect(huge));
    const same = (await model.detect(good).result).score === score;
    await model.dispose();
    await check(any, (job) => attempt(() => model.detect(job)), 50);
    await attempt(() => model.detect(good));
    answer({ cases, seen, same });`);
  const { cases, seen, same } = fine(outcome);
  expect(cases).toBeGreaterThanOrEqual(3000);
  expect(seen.ERR_ACD_INVALID_ARG).toBeGreaterThan(1000);
  expect(seen.mine).toBeGreaterThan(20);
  expect(seen.ERR_ACD_OUT_OF_MEMORY).toBeGreaterThanOrEqual(1);
  expect(seen.ERR_ACD_DISPOSED).toBeGreaterThan(0);
  expect(same).toBe(true);
});

test('load: 1,200 wrong specs give errors and leave nothing loaded', async () => {
  const outcome = await run(
    `${HARNESS}
    const spec = { ...(await specOf()), threads: 1 };
    const number2 = fc.oneof(number, fc.constantFrom(2 ** 40, 2 ** 52, 64, 128, 49408));
    const load1 = (s, progress) => attempt(() => {
      const handle = native.load(s, progress);
      handle.cancel.call(undefined);
      return { result: handle.result.then((m) => m.dispose()) };
    });
    const plain = (s) => attempt(() => ({ result: native.load(s, () => {}).result.then((m) => m.dispose()) }));
    await check(fc.tuple(fc.constantFrom(...Object.keys(spec)), any, any), ([k, v, p]) => load1({ ...spec, [k]: v }, p), 300);
    await check(fc.tuple(fc.constantFrom(...Object.keys(spec.config)), fc.oneof(any, number2)),
      ([k, v]) => plain({ ...spec, shareKey: '', config: { ...spec.config, [k]: v } }), 300);
    const place = fc.nat(spec.tensors.length - 1);
    await check(fc.tuple(place, fc.constantFrom('name', 'shape', 'parts'), any), ([i, k, v]) => {
      const tensors = [...spec.tensors];
      tensors[i] = { ...tensors[i], [k]: v };
      return load1({ ...spec, tensors }, null);
    }, 200);
    const layout = fc.oneof(any, number2, fc.array(number2, { maxLength: 4 }));
    await check(fc.tuple(place, fc.constantFrom('file', 'offset', 'dtype', 'shape', 'strides'), layout), ([i, k, v]) => {
      const tensors = [...spec.tensors];
      const part = { ...tensors[i].parts[0], [k]: v };
      tensors[i] = { ...tensors[i], parts: [part] };
      return plain({ ...spec, shareKey: '', tensors });
    }, 300);
    await check(any, (s) => load1(s, s), 100);
    const model = await native.load(spec, () => {}).result;
    const works = (await model.detect(jobOf(spec.config)).result).score > 0;
    await model.dispose();
    answer({ cases, seen, works, models: native.storeInfo().models });`,
  );
  const { cases, seen, works, models } = fine(outcome);
  expect(cases).toBeGreaterThanOrEqual(1200);
  expect(seen.ERR_ACD_INVALID_ARG).toBeGreaterThan(200);
  expect(seen.ERR_ACD_CHECKPOINT_MISMATCH).toBeGreaterThan(20);
  expect(works).toBe(true);
  expect(models).toBe(0);
});
