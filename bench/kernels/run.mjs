// Every native op by itself: time, rate, and the fraction of a ceiling measured in the same run.
//
//   node bench/kernels/run.mjs [--op linear] [--seconds 1] [--json FILE]
//
// Each case is checked against a plain double-precision reference before it is timed. The synchronous
// kernels copy their arguments in and the result out (and linear packs its weights), which the model
// does not do; `call` is the whole call, `net` is without an estimate of that: what a call with as many
// bytes and nothing to compute takes (resizeBicubic to the same size), and for linear a one-row call.
// Ceilings: compute = the best net linear of this run, memory = a copy of 256 MiB by one thread, read
// plus written bytes. A small tensor stays in cache and may beat the copy.
import { writeFileSync } from 'node:fs';
import { kernels } from '../../lib/index.mjs';
import { options } from '../lib/args.mjs';
import { verify } from '../lib/check.mjs';
import { describeMachine, machine } from '../lib/machine.mjs';
import { fixed, percent, sample, table } from '../lib/stats.mjs';
import { noise } from '../lib/synth.mjs';

// linear first: it is the compute ceiling of the others.
const OPS = [
  'linear',
  'attention',
  'layer_norm',
  'conv_tokens',
  'lora_blend',
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

const copyGBs = copyRate();
const results = [];
for (const op of OPS) {
  // linear is measured even when another op was asked for, for its ceiling.
  if (args.op !== undefined && op !== args.op && op !== 'linear') continue;
  const { cases } = await import(`./${op}.mjs`);
  for (const one of cases(kernels)) results.push(measure(op, one));
}
report(results);
if (args.json) {
  writeFileSync(args.json, `${JSON.stringify({ machine: here, copyGBs, results }, null, 1)}\n`);
}

/** GB/s, bytes read plus bytes written. */
function copyRate() {
  const bytes = 2 ** 28;
  const [from, to] = [noise('copy', bytes), new Uint8Array(bytes)];
  return (2 * bytes) / 1e6 / sample(() => to.set(from), { seconds, least: 3 }).min;
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
  const linears = all.filter((r) => r.op === 'linear');
  const peak = Math.max(...linears.map((r) => r.gflops));
  const rows = all.map((r) => [
    `${r.op}: ${r.name}`,
    fixed(r.time.median, 3),
    fixed(r.time.min, 3),
    percent(r.time.spread),
    fixed(r.net, 3),
    r.gflops > 0.05 ? fixed(r.gflops, 1) : '-',
    fixed(r.gbs, 1),
    r.bound === 'compute' ? percent(r.gflops / peak) : percent(r.gbs / copyGBs),
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
    'of ceiling',
    'ceiling',
    'checked',
  ];
  console.log(table(header, rows));
  console.log(
    `\nceilings: compute ${fixed(peak, 1)} GFLOP/s (best linear, net), memory ${fixed(copyGBs, 1)} GB/s (copy of 256 MiB, one thread).\n` +
      'Rates are net. checked: values compared with the double-precision reference before timing.',
  );
}
