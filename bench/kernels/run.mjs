// Every native op by itself: time, rate, and the fraction of a ceiling measured in the same run.
//
//   node bench/kernels/run.mjs [--op linear] [--seconds 1] [--json FILE]
//
// Each case is checked against a plain double-precision reference before it is timed. The synchronous
// kernels copy their arguments in and the result out (and linear packs its weights), which the model
// does not do; `call` is the whole call, `net` is without an estimate of that: what a call with as many
// bytes and nothing to compute takes (resizeBicubic to the same size), and for linear a one-row call.
// What the operations reach inside a model, in every precision, is measured by bench/model.mjs.
// Ceilings: fp32 multiply-adds out of registers and a copy of 128 MiB a thread (read plus written bytes),
// both on all threads, measured again beside every operation. A small tensor stays in cache and may
// beat the copy.
import { writeFileSync } from 'node:fs';
import { kernels } from '../../lib/index.mjs';
import { options } from '../lib/args.mjs';
import { verify } from '../lib/check.mjs';
import { describeMachine, machine } from '../lib/machine.mjs';
import { describePeaks, Peaks } from '../lib/peaks.mjs';
import { fixed, percent, sample, table } from '../lib/stats.mjs';

const OPS = [
  'linear',
  'attention',
  'layer_norm',
  'quantize',
  'patchify',
  'assemble_tokens',
  'gather_tokens',
  'conv_tokens',
  'lora_blend',
  'head',
  'gate',
  'fuse_map',
  'preprocess',
  'resize',
  'resize_positions',
  'regions',
];

const args = options(import.meta.url, { op: undefined, seconds: 1, json: undefined });
if (args.op !== undefined && !OPS.includes(args.op)) {
  throw new Error(`Expected one of ${OPS.join(', ')} for --op but received ${args.op}`);
}
const seconds = Number(args.seconds);
const here = machine();
console.log(`${describeMachine(here)}\n`);

const peaks = new Peaks(here.cpus);
const results = [];
await peaks.take(['fp32', 'copy']);
for (const op of OPS) {
  if (args.op !== undefined && op !== args.op) continue;
  const { cases } = await import(`./${op}.mjs`);
  for (const one of cases(kernels)) results.push(measure(op, one));
  await peaks.take(['fp32', 'copy']);
}
await peaks.end();
const ceilings = peaks.summary();
report(results);
if (args.json) {
  const all = { machine: here, peaks: ceilings, results };
  writeFileSync(args.json, `${JSON.stringify(all, null, 1)}\n`);
}

/** Milliseconds that a call spends on `bytes` in and out, with nothing to compute. */
function copyTime({ in: incoming, out }) {
  const width = 4096;
  const height = Math.max(1, Math.round((incoming + out) / 2 / width));
  const src = new Uint8Array(width * height).fill(1);
  const run = () => kernels.resizeBicubic(src, width, height, 1, width, height);
  // The least, so that other work on the machine does not make an op look faster.
  return sample(run, { seconds: seconds / 4, least: 5 }).min;
}

function measure(op, { name, check, run, fixedCost, copied, flop, bytes, bound }) {
  const checked = verify(`${op} ${name}`, check());
  const time = sample(run, { seconds });
  const fixedMs = fixedCost ? sample(fixedCost, { seconds: seconds / 2 }).min : 0;
  const overhead = fixedMs + copyTime(copied);
  // An estimate may not eat the whole call.
  const net = Math.max(time.median - overhead, time.median / 20);
  return {
    op,
    name,
    bound,
    checked,
    time,
    net,
    gflops: flop / 1e6 / net,
    gbs: bytes / 1e6 / net,
  };
}

function report(all) {
  const peak = ceilings.fp32.median ?? Number.NaN;
  const rows = all.map((r) => [
    `${r.op}: ${r.name}`,
    fixed(r.time.median, 3),
    fixed(r.time.min, 3),
    percent(r.time.spread),
    fixed(r.net, 3),
    r.gflops > 0.05 ? fixed(r.gflops, 1) : '-',
    fixed(r.gbs, 1),
    r.bound === 'compute' ? percent(r.gflops / peak) : percent(r.gbs / ceilings.copy.median),
    r.bound,
    `${r.checked.values}`,
  ]);
  const header = [
    'op',
    'call ms',
    'least ms',
    'spread',
    'net ms',
    'GFLOP/s',
    'GB/s',
    'of peak',
    'bound by',
    'checked',
  ];
  console.log(table(header, rows));
  console.log(
    `\n${describePeaks(ceilings)}\n` +
      'Rates are net. checked: values compared with the double-precision reference before timing.',
  );
}
