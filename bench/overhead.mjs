// What the package adds to a picture beside computing it: submitting it and bringing the map back.
//
//   node bench/overhead.mjs [--runs 300] [--threads N] [--cache DIR] [--json FILE]
//
// A tiny model, raw RGB pixels of 518 x 518 in, a map of that size (1 MB) out, one picture at a time: as
// many bytes as a ViT-L takes and gives. In the last row both have the tiny model's own size.
// Two measures, from detect() to its result:
//   - event loop busy: how long the main thread was at work (performance.eventLoopUtilization): checks,
//     the copy of the pixels, memory for the map, the result object, promises. This is what a picture
//     takes from everything else that the process does.
//   - time beyond native: the whole time, less what the addon's own clock says the picture waited in its
//     queue, was preprocessed, computed and postprocessed (the thread that computes writes the map
//     where JavaScript reads it, which is part of postprocessing). It holds the busy time of the
//     event loop and waking it up. `submit` is the part before detect() returns its promise.
// Every result is checked, outside of the measured time, to be the same bytes; figures are medians over
// the runs, after a warm-up. Garbage collection shows in the p99.
import { writeFileSync } from 'node:fs';
import { availableParallelism, tmpdir } from 'node:os';
import * as path from 'node:path';
import { AcdClip } from '../lib/index.mjs';
import { options, positive } from './lib/args.mjs';
import { describeMachine, machine } from './lib/machine.mjs';
import { bundleOf, sizeNamed } from './lib/models.mjs';
import { fixed, summarise, table } from './lib/stats.mjs';
import { picture } from './lib/synth.mjs';

const SIDE = 518;
const WARM_UP = 30;

const args = options(import.meta.url, {
  runs: 300,
  threads: availableParallelism(),
  cache: path.join(tmpdir(), 'acd-clip-bench'),
  json: undefined,
});
const runs = positive('runs', args.runs);
const threads = positive('threads', args.threads);
const here = machine(threads);
console.log(`${describeMachine(here)}\n`);

const imageOf = (side) => ({
  data: picture('overhead', side, side),
  width: side,
  height: side,
  channels: 3,
});
const image = imageOf(SIDE);
const own = imageOf(sizeNamed('tiny').imageSize);
const model = await AcdClip.load({
  bundle: bundleOf('tiny', args.cache),
  imageSize: sizeNamed('tiny').imageSize,
  precision: 'fp32',
  threads,
});
const textFeatures = await model.encodePrompts('hazelnut');
const { signal } = new AbortController();
// A map of the picture's size, whatever the model: the 1 MB that a ViT-L at 518 gives back.
const MAP = { map: 'image' };
const cases = {
  'map back': [image, { textFeatures, ...MAP }],
  'no map back': [image, { textFeatures, map: 'none' }],
  'map back, class by name': [image, { className: 'hazelnut', ...MAP }],
  'map back, with a signal': [image, { textFeatures, signal, ...MAP }],
  [`map back, ${own.width} x ${own.height}`]: [own, { textFeatures, ...MAP }],
};
const results = await measure();
await model.dispose();
report();

/** The cases take turns, so that a change of the machine's speed meets all of them. */
async function measure() {
  const names = Object.keys(cases);
  const all = Object.fromEntries(
    names.map((name) => [name, { busy: [], whole: [], submit: [], native: [] }]),
  );
  const first = new Map();
  for (const each of [image, own]) {
    first.set(each, await model.detect(each, { textFeatures, ...MAP }));
  }
  for (let i = 0; i < WARM_UP + runs; i++) {
    for (const name of names) {
      const { busy, whole, submit, native, found } = await once(...cases[name]);
      if (!same(found, first.get(cases[name][0])))
        throw new Error(`Expected the same result in every call: ${name}`);
      if (i < WARM_UP) continue;
      all[name].busy.push(1000 * busy);
      all[name].whole.push(1000 * (whole - native));
      all[name].submit.push(1000 * submit);
      all[name].native.push(native);
    }
  }
  return Object.fromEntries(
    names.map((name) => [
      name,
      Object.fromEntries(Object.entries(all[name]).map(([k, v]) => [k, summarise(v)])),
    ]),
  );
}

async function once(given, detectOptions) {
  const before = performance.eventLoopUtilization();
  const start = performance.now();
  const promise = model.detect(given, detectOptions);
  const submitted = performance.now();
  const found = await promise;
  const whole = performance.now() - start;
  const busy = performance.eventLoopUtilization(before).active;
  const { queueMs, preprocessMs, computeMs, postprocessMs } = found.timing;
  const native = queueMs + preprocessMs + computeMs + postprocessMs;
  return { whole, submit: submitted - start, busy, native, found };
}

function same(found, first) {
  if (found.score !== first.score) return false;
  if (!found.map) return true;
  const bytes = ({ data }) => Buffer.from(data.buffer, data.byteOffset, data.byteLength);
  return bytes(found.map).equals(bytes(first.map));
}

function report() {
  console.log(
    table(
      [
        'per picture, us',
        'event loop busy',
        'min',
        'p99',
        'beyond native',
        'min',
        'of it submit',
        'native ms',
      ],
      Object.entries(results).map(([name, { busy, whole, submit, native }]) => [
        name,
        fixed(busy.median, 0),
        fixed(busy.min, 0),
        fixed(busy.p99, 0),
        fixed(whole.median, 0),
        fixed(whole.min, 0),
        fixed(submit.median, 0),
        fixed(native.median, 2),
      ]),
    ),
  );
  if (args.json)
    writeFileSync(args.json, `${JSON.stringify({ machine: here, results }, null, 1)}\n`);
}
