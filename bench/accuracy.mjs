// What a lower precision costs and buys: maps and pixel AP against fp32 on labelled pictures, beside the time.
//
//   node bench/accuracy.mjs [--count 240] [--seed 7] [--bundle FILE] [--threads N] [--json FILE]
//                           [--device cpu] [--precisions bf16,fp8]
//
// Pictures are drawn by datasets.generate, of the classes that the starter model was not trained on;
// the model is the starter, or --bundle: one safetensors file that holds backbone and adapter. Every
// precision of this machine sees every picture, the precisions taking turns picture by picture.
// Exits with 1 where a precision is over its limit: a mean map difference to fp32 of 0.005, or half a
// point of pixel AP (at fp8 0.2), pooled or as the mean over classes. --precisions keeps those named,
// and fp32, which the others are held against.
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { availableParallelism, tmpdir } from 'node:os';
import * as path from 'node:path';
import { AcdClip, datasets, listDevices } from '../lib/index.mjs';
import { generatedClasses, readMask, readSet } from '../scripts/starter/evaluate-sets.mjs';
import { meanOf, rank } from '../scripts/starter/metrics.mjs';
import { options, positive } from './lib/args.mjs';
import { describeMachine, machine } from './lib/machine.mjs';
import { fixed, table } from './lib/stats.mjs';

/** Of probabilities 0..1. */
const MEAN_DIFFERENCE = 0.005;
/** Of 100. */
const AP_POINTS = 0.5;
const AP_POINTS_OF = { fp8: 0.2 };

const args = options(import.meta.url, {
  count: 240,
  seed: 7,
  bundle: undefined,
  threads: availableParallelism(),
  json: undefined,
  device: 'cpu',
  precisions: undefined,
});
const threads = positive('threads', args.threads);
const here = machine(threads);
const work = mkdtempSync(path.join(tmpdir(), 'acd-clip-accuracy-'));
try {
  process.exitCode = await main();
} finally {
  rmSync(work, { recursive: true, force: true });
}

async function main() {
  console.log(describeMachine(here));
  const entries = await pictures();
  const sides = [];
  const wanted = args.precisions?.split(',');
  for (const { name, available, reason } of deviceNamed(args.device).precisions) {
    if (name !== 'fp32' && wanted && !wanted.includes(name)) continue;
    if (!available) console.log(`not measured: ${name}: ${reason}`);
    else sides.push(await side(name));
  }
  const size = sides[0].model.imageSize;
  const pixels = size * size;
  const truth = new Uint8Array(entries.length * pixels);
  for (const one of sides) one.maps = new Float32Array(truth.length);
  for (const [i, entry] of entries.entries()) {
    truth.set(await readMask(entry.mask, size), i * pixels);
    for (const one of sides) {
      const options = { className: entry.noun, map: 'model' };
      const found = await one.model.detect(entry.image, options);
      one.maps.set(found.map.data, i * pixels);
      one.ms.push(found.timing.computeMs);
    }
  }
  await Promise.all(sides.map(({ model }) => model.dispose()));
  const results = sides.map(({ name, maps, ms }) => ({
    precision: name,
    ...difference(maps, sides[0].maps),
    ...quality(maps, truth, entries, pixels),
    ms: ms.sort((a, b) => a - b)[ms.length >> 1],
  }));
  return report(results, entries.length);
}

function deviceNamed(id) {
  const found = listDevices().find((d) => d.id === id || (id === 'cuda' && d.id === 'cuda:0'));
  if (!found?.available) throw new Error(`device ${id}: ${found?.reason ?? 'there is none'}`);
  return found;
}

async function pictures() {
  const classes = generatedClasses({ heldOut: true });
  const [count, seed] = [positive('count', args.count), Number(args.seed)];
  await datasets.generate(work, { count, seed, classes });
  const nouns = JSON.parse(await readFile(path.join(work, 'nouns.json'), 'utf8'));
  const entries = (await readSet(work)).map((e) => ({ ...e, noun: nouns[e.className] }));
  // Class by class, so that a class is one stretch of pixels.
  return entries.sort((a, b) => (a.className < b.className ? -1 : 1));
}

async function side(precision) {
  const source = args.bundle === undefined ? {} : { bundle: args.bundle };
  const { device } = args;
  const model = await AcdClip.load({ ...source, device, precision, threads });
  return { name: precision, model, ms: [] };
}

function difference(maps, exact) {
  let [sum, largest] = [0, 0];
  for (let i = 0; i < maps.length; i++) {
    const d = Math.abs(maps[i] - exact[i]);
    sum += d;
    largest = Math.max(largest, d);
  }
  return { meanDifference: sum / maps.length, largestDifference: largest };
}

function quality(maps, truth, entries, pixels) {
  const ap = (first, end) =>
    rank(maps.subarray(first * pixels, end * pixels), truth.subarray(first * pixels, end * pixels))
      .ap;
  const classes = [...new Set(entries.map((e) => e.className))].map((name) =>
    ap(
      entries.findIndex((e) => e.className === name),
      entries.findLastIndex((e) => e.className === name) + 1,
    ),
  );
  return { ap: 100 * ap(0, entries.length), classAp: 100 * meanOf(classes) };
}

function report(results, count) {
  const [exact] = results;
  const rows = results.map((r) => [
    r.precision,
    r.meanDifference.toExponential(1),
    fixed(r.largestDifference, 4),
    fixed(r.ap, 2),
    fixed(r.ap - exact.ap, 2),
    fixed(r.classAp, 2),
    fixed(r.classAp - exact.classAp, 2),
    fixed(r.ms, 1),
    fixed(exact.ms / r.ms, 2),
  ]);
  const columns = [
    'precision',
    'map mean diff.',
    'largest',
    'pixel AP',
    'change',
    'AP, mean of classes',
    'change',
    'ms a picture',
    'times fp32',
  ];
  console.log(`${count} generated pictures, ${args.bundle ?? 'the starter model'}\n`);
  console.log(table(columns, rows));
  if (args.json)
    writeFileSync(args.json, `${JSON.stringify({ machine: here, results }, null, 1)}\n`);
  const over = results.filter(
    (r) =>
      r.meanDifference > MEAN_DIFFERENCE ||
      exact.ap - r.ap > (AP_POINTS_OF[r.precision] ?? AP_POINTS) ||
      exact.classAp - r.classAp > (AP_POINTS_OF[r.precision] ?? AP_POINTS),
  );
  for (const r of over) console.log(`${r.precision} is over its limit`);
  return over.length > 0 ? 1 : 0;
}
