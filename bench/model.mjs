// A whole model by itself: images a second, latency, memory, loading, and where the time of a picture goes.
//
//   node bench/model.mjs [--model starter,vitl14-518] [--images 10] [--threads N] [--cache DIR]
//        [--precision fp32,...] [--json FILE]
//
// Models: `starter`, which the package brings, and the sizes of bench/compare with synthetic weights
// (ViT-L: 1.7 GB, written once into --cache). Every precision that the package accepts, one process
// each, taking turns picture by picture. Before anything is timed a lower precision's map must be within
// 0.02 of fp32's in the mean, and every later map of a picture must have the same score.
// first: from the start of the process to its first result (load, text, picture). latency: one picture
// at a time, pixels in memory to map. images/s: a batch of as many pictures. The profile is the median
// picture's; its peaks are measured in the same run, between the pictures.
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { availableParallelism, tmpdir } from 'node:os';
import * as path from 'node:path';
import { describeCheckpoint, promptsFor, starterModel } from '../lib/index.mjs';
import { options, positive } from './lib/args.mjs';
import { Child } from './lib/child.mjs';
import { describeMachine, describeOthers, machine, othersShare } from './lib/machine.mjs';
import { bundleOf, sizeNamed } from './lib/models.mjs';
import { describePeaks, Peaks } from './lib/peaks.mjs';
import { precisions } from './lib/precisions.mjs';
import { ceilingOf, modelGflop, profileOf } from './lib/profile.mjs';
import { fixed, percent, summarise, table } from './lib/stats.mjs';
import { picture } from './lib/synth.mjs';

const WIDTH = 640;
const HEIGHT = 480;
const BROKEN = 0.02;

const args = options(import.meta.url, {
  model: 'starter,vitl14-518',
  images: 10,
  threads: availableParallelism(),
  cache: path.join(tmpdir(), 'acd-clip-bench'),
  precision: undefined,
  json: undefined,
});
const images = positive('images', args.images);
const threads = positive('threads', args.threads);
const here = machine(threads);
console.log(describeMachine(here));
const offered = await precisions(args.cache);
for (const { precision, reason } of offered) {
  if (reason) console.log(`not measured: ${precision}: ${reason}`);
}
const wanted =
  args.precision?.split(',') ?? offered.filter((p) => !p.reason).map((p) => p.precision);
const work = mkdtempSync(path.join(tmpdir(), 'acd-clip-model-'));
const file = path.join(work, 'picture.rgb');
writeFileSync(file, picture('model', WIDTH, HEIGHT));
const shape = { file, width: WIDTH, height: HEIGHT };
const peaks = new Peaks(threads);
const others = [];
const models = [];
try {
  for (const name of args.model.split(',')) models.push(await measure(name));
} finally {
  await peaks.end();
  rmSync(work, { recursive: true, force: true });
}
report();

async function measure(name) {
  const config = name === 'starter' ? await starterConfig() : sizeNamed(name);
  const load = name === 'starter' ? {} : { bundle: bundleOf(name, args.cache), config };
  const sides = [];
  try {
    for (const precision of wanted) sides.push(await start(precision, load));
    compareMaps(name, sides);
    // The starter takes milliseconds: more pictures cost little and make a p99.
    const count = name === 'starter' ? 20 * images : images;
    for (let i = 0; i < count; i++) {
      if (i % Math.ceil(count / 10) === 0) {
        others.push(await othersShare());
        await peaks.take();
      }
      for (const side of sides) await once(side);
    }
    for (const side of sides) {
      side.many = await side.child.ask('many', { ...shape, count: Math.max(4, images) });
      side.memory = await side.child.ask('memory');
    }
  } finally {
    await Promise.all(sides.map((s) => s.child.end()));
  }
  return { name, config, sides: sides.map((side) => summary(side, config)) };
}

/** The starter's sizes are in its file; it has as many pixels as its positions were made for. */
async function starterConfig() {
  const { backbone, adapter } = await describeCheckpoint(starterModel.path);
  return { ...backbone, ...adapter, imageSize: backbone.pretrainGrid * backbone.patchSize };
}

async function start(precision, load) {
  const began = performance.now();
  const script = path.join(import.meta.dirname, 'compare/ours.mjs');
  const child = new Child(precision, process.execPath, [script]);
  await child.ask('hello', { threads });
  const loaded = await child.ask('load', { ...load, precision });
  const text = await child.ask('text', { prompts: promptsFor('hazelnut') });
  const map = path.join(work, 'map.f32');
  const first = await child.ask('image', { ...shape, save: map });
  const firstMs = performance.now() - began;
  const bytes = readFileSync(map);
  return {
    precision,
    child,
    firstMs,
    loadMs: loaded.ms,
    textMs: text.ms,
    weights: loaded.memory.weightsBytes,
    score: first.score,
    map: new Float32Array(bytes.buffer, bytes.byteOffset, bytes.length / 4),
    ms: [],
    pictures: [],
  };
}

function compareMaps(name, sides) {
  const exact = sides.find((s) => s.precision === 'fp32');
  for (const side of exact ? sides : []) {
    const apart = side.map.map((v, i) => Math.abs(v - exact.map[i]));
    side.difference = {
      max: apart.reduce((a, b) => Math.max(a, b), 0),
      mean: apart.reduce((a, b) => a + b, 0) / apart.length,
    };
    if (!(side.difference.mean <= BROKEN)) {
      throw new Error(`${name}, ${side.precision}: the map is ${side.difference.mean} from fp32's`);
    }
  }
}

async function once(side) {
  const plain = await side.child.ask('image', shape);
  const timed = await side.child.ask('image', { ...shape, stages: true });
  if (plain.score !== side.score || timed.score !== side.score) {
    throw new Error(`${side.precision}: Expected the same score in every call`);
  }
  side.ms.push(plain.ms);
  side.pictures.push(timed);
}

function summary({ child, map, ms, pictures, many, ...side }, config) {
  const sorted = [...pictures].sort((a, b) => a.ms - b.ms);
  const middle = sorted[Math.floor(sorted.length / 2)];
  return {
    ...side,
    latency: summarise(ms),
    // Timing the stages must not change what is timed.
    stagesOverhead: summarise(pictures.map((p) => p.ms)).median / summarise(ms).median - 1,
    imagesPerSecond: (1000 * Math.max(4, images)) / many.ms,
    profile: profileOf(middle.timing, config, middle.ms),
    profileMs: middle.ms,
  };
}

function report() {
  const ceilings = peaks.summary();
  const gib = (bytes) => (bytes === undefined ? '-' : (bytes / 2 ** 30).toFixed(2));
  console.log(`\n${describePeaks(ceilings)}\n${describeOthers(others)}\n`);
  console.log(
    table(
      [
        'model',
        'images/s',
        'p50 ms',
        'p99 ms',
        'of peak',
        'first s',
        'load s',
        'text ms',
        'weights GiB',
        'peak GiB',
        'map diff. mean',
        'largest',
      ],
      models.flatMap(({ name, config, sides }) =>
        sides.map((s) => [
          `${name}, ${s.precision}`,
          fixed(s.imagesPerSecond, 2),
          fixed(s.latency.median, 1),
          fixed(s.latency.p99, 1),
          percent(modelGflop(config) / (s.latency.median / 1000) / ceilings[s.precision]?.median),
          fixed(s.firstMs / 1000),
          fixed(s.loadMs / 1000),
          fixed(s.textMs, 0),
          gib(s.weights),
          gib(s.memory.peak),
          s.difference ? s.difference.mean.toExponential(1) : '-',
          s.difference ? s.difference.max.toExponential(1) : '-',
        ]),
      ),
    ),
  );
  for (const { name, sides } of models) {
    for (const side of sides) {
      console.log(`\n${name}, ${side.precision}: ${fixed(side.profileMs, 1)} ms`);
      console.log(profileTable(side, ceilings));
    }
  }
  console.log(
    '\nof peak: the operations that the graph needs, over the whole time, against the peak of the precision. In the\n' +
      'profiles: against the peak of what the stage multiplies with (int8 attention: int8 and bf16), or of copying.\n' +
      'p99 of few pictures is their maximum. peak GiB: VmHWM, pages of the mapped file included.',
  );
  const all = { machine: here, peaks: ceilings, othersShare: others, models };
  if (args.json) writeFileSync(args.json, `${JSON.stringify(all, null, 1)}\n`);
}

function profileTable({ precision, profile, profileMs }, ceilings) {
  return table(
    ['stage', 'calls', 'ms', 'of time', 'GFLOP/s', 'GB/s', 'of peak'],
    profile.map((s) => {
      const rate = (work) => (work > 0 ? work / (s.ms / 1000) : undefined);
      const [gflops, gbs] = [rate(s.gflop), rate(s.gbytes)];
      const ceiling = ceilingOf(s.kind, precision, ceilings);
      return [
        s.name,
        s.calls,
        fixed(s.ms, 2),
        percent(s.ms / profileMs, 1),
        fixed(gflops, 0),
        fixed(gbs, 1),
        percent(ceiling && (gflops ?? gbs) && (gflops ?? gbs) / ceiling),
      ];
    }),
  );
}
