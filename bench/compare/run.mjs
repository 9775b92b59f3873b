// The whole model against its peers: seconds from RGB pixels to map and score, text, load and memory.
//
//   node bench/compare/run.mjs [--size vitl14-518|vitl14-336|vitb16-224|tiny] [--rounds 5]
//        [--threads N] [--python python3] [--cache DIR] [--sides KEY,KEY,...]
//        [--json FILE] [--resume FILE] [--compare OLD.json] [--threshold 0.08]
//
// Sides: this package in every precision that it accepts; PyTorch as published (attention weights
// materialised), with fused attention, and compiled, each fp32 and bf16; onnxruntime in Python and in
// Node, fp32 and dynamic int8 (bench/compare/sides.mjs says how each is set). One process each, the same
// threads, the same synthetic weights (written once into --cache, 1.7 GB for ViT-L, with the
// exported graphs beside them). A side that cannot be had is listed with the reason.
//
// Every fp32 side's map must agree to 2e-5 of the largest value, and every other side's must be within
// 0.02 of fp32 in the mean, first in a round that is not timed: a peer that is further off leaves the
// run and is listed, ours ends it. Then the sides take turns, picture by picture,
// beginning with another one in every round; each map of each round is compared with fp32's.
// A ratio is the median of the rounds' own ratios. --resume adds rounds to those of an earlier file
// of the same commit and settings. --compare holds the ratios to the peers that both runs have
// against an earlier file's, and exits with 1 where ours lost more than --threshold to them.
import { createReadStream, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { availableParallelism, tmpdir } from 'node:os';
import * as path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { promptsFor, tokenize } from '../../lib/index.mjs';
import { options, positive } from '../lib/args.mjs';
import { describeMachine, describeOthers, machine, othersShare } from '../lib/machine.mjs';
import { bundleOf, sizeNamed } from '../lib/models.mjs';
import { describePeaks, Peaks } from '../lib/peaks.mjs';
import {
  compareRuns,
  comparisonTable,
  joinRuns,
  sidesTable,
  THRESHOLD,
  targets,
  targetsTable,
} from '../lib/report.mjs';
import { picture } from '../lib/synth.mjs';
import { startSides } from './sides.mjs';

/** Of the largest value, for maps computed in fp32. */
const TOLERANCE = 2e-5;
/** Mean map difference beyond which a lower precision is broken, not just coarse. */
const BROKEN = 0.02;
const NOUNS = ['hazelnut', 'candle', 'capsule', 'cashew nut', 'zipper'];
const WIDTH = 640;
const HEIGHT = 480;
/** Threads of the side that just ran may still spin for a moment. */
const PAUSE_MS = 250;
/** Memory that must be left when all are loaded: one side's activations, and the rest of the machine. */
const ROOM = 1.5 * 2 ** 30;

const args = options(import.meta.url, {
  size: 'vitl14-518',
  rounds: 5,
  threads: availableParallelism(),
  python: 'python3',
  cache: path.join(tmpdir(), 'acd-clip-bench'),
  sides: undefined,
  json: undefined,
  resume: undefined,
  compare: undefined,
  threshold: THRESHOLD,
});
const rounds = positive('rounds', args.rounds);
const threads = positive('threads', args.threads);
const size = sizeNamed(args.size);
const read = (file) => JSON.parse(readFileSync(file, 'utf8'));
const [resumed, old] = [args.resume, args.compare].map((file) => file && read(file));
for (const [file, run] of [
  [args.resume, resumed],
  [args.compare, old],
]) {
  if (run && run.size !== args.size) {
    throw new Error(`Expected a run of ${args.size} in ${file} but it measured ${run.size}`);
  }
}

const here = machine(threads);
if (resumed && resumed.machine.commit !== here.commit) {
  throw new Error(
    `Expected a run of commit ${here.commit} in ${args.resume} but it is of ${resumed.machine.commit}`,
  );
}
const bundle = bundleOf(args.size, args.cache);
const work = mkdtempSync(path.join(tmpdir(), 'acd-clip-compare-'));
const peaks = new Peaks(threads);
const others = [];
const { sides, missing } = await startSides({
  wanted: args.sides?.split(','),
  python: args.python,
  cache: args.cache,
  size,
  bundle,
  threads,
});
try {
  await main();
} finally {
  await Promise.all([peaks.end(), ...sides.map(({ child }) => child.end())]);
  rmSync(work, { recursive: true, force: true });
}

async function main() {
  console.log(describeMachine(here));
  console.log(`${args.size}, ${size.groups} groups, batch 1, picture ${WIDTH} x ${HEIGHT}`);
  for (const { name, reason } of missing) console.log(`not measured: ${name}: ${reason}`);
  await readThrough(bundle);
  const results = [];
  for (const side of [...sides]) {
    const ready = await prepare(side).catch((error) => drop(side, error.message));
    if (ready) results.push(ready);
  }
  console.log(`${versionsLine(results)}\n`);

  await round(0, results, false);
  const first =
    1 + Math.max(0, ...(resumed?.sides ?? []).flatMap((s) => s.rounds.map((r) => r.round)));
  for (let i = first; i < first + rounds; i++) {
    others.push(await othersShare());
    await peaks.take();
    await round(i, results, true);
    process.stderr.write(`round ${i} of ${first + rounds - 1}\n`);
    // A long run that is cut off can go on with --resume.
    save(resumed ? joinRuns(resumed.sides, results) : results);
  }
  await peaks.take();
  for (const [i, { child }] of sides.entries()) results[i].memory = await child.ask('memory');
  report(resumed ? joinRuns(resumed.sides, results) : results);
}

/** A side that cannot go on leaves the run and is listed with the reason; ours may not. */
async function drop(side, reason) {
  if (side.kind === 'ours') throw new Error(`${side.name}: ${reason}`);
  process.stderr.write(`${side.name} is left out: ${reason}\n`);
  missing.push({ key: side.key, name: side.name, reason });
  sides.splice(sides.indexOf(side), 1);
  await side.child.end();
}

/** Bytes that could be had without swapping. */
function availableMemory() {
  try {
    const kib = /^MemAvailable:\s+(\d+) kB/m.exec(readFileSync('/proc/meminfo', 'utf8'))?.[1];
    return kib === undefined ? Number.POSITIVE_INFINITY : 1024 * kib;
  } catch {
    return Number.POSITIVE_INFINITY;
  }
}

/** Into the page cache: no side shall pay for the disk alone. */
async function readThrough(file) {
  for await (const _ of createReadStream(file, { highWaterMark: 2 ** 22 }));
}

async function prepare({ key, name, kind, precision, settings, child, load }) {
  const { versions, isa } = await child.ask('hello', { threads });
  const { ms } = await child.ask('load', load);
  process.stderr.write(`loaded ${name}: ${(ms / 1000).toFixed(1)} s\n`);
  const left = availableMemory();
  if (left < ROOM)
    throw new Error(`${(left / 2 ** 30).toFixed(1)} GiB of memory were left beside it`);
  return {
    key,
    name,
    kind,
    precision,
    settings,
    versions,
    isa,
    loadMs: ms,
    rounds: [],
    textMs: [],
  };
}

function versionsLine(results) {
  const versions = Object.assign({}, ...results.map((r) => r.versions));
  const isa = results.find((r) => r.isa)?.isa;
  return Object.entries(versions)
    .map(([name, version]) => `${name} ${version}${name === 'torch' && isa ? ` (${isa})` : ''}`)
    .join(', ');
}

/** One picture and one class on every side, in turns; another side begins every round. */
async function round(number, results, keep) {
  const prompts = promptsFor(NOUNS[number % NOUNS.length]);
  const shape = { file: path.join(work, 'picture.rgb'), width: WIDTH, height: HEIGHT };
  // Under another name every time: our worker keeps a picture that it has read.
  shape.file = path.join(work, `picture-${number}.rgb`);
  writeFileSync(shape.file, picture(`compare.${number}`, WIDTH, HEIGHT));
  const features = path.join(work, 'features.f32');
  for (const [i, side] of sides.entries()) {
    const { ms } = await side.child.ask('text', {
      prompts,
      normal: ids(prompts.normal),
      abnormal: ids(prompts.abnormal),
      features,
      ...(side.key === 'ours-fp32' && { save: features }),
    });
    if (keep && ms !== undefined) results[i].textMs.push(ms);
    await sleep(PAUSE_MS);
  }
  const answers = [];
  for (let turn = 0; turn < sides.length; turn++) {
    const i = (turn + number) % sides.length;
    const save = path.join(work, `map-${i}.f32`);
    answers[i] = await sides[i].child.ask('image', { ...shape, save });
    answers[i].map = readMap(save);
    await sleep(PAUSE_MS);
  }
  rmSync(shape.file);
  await check(number, answers, results, keep);
}

async function check(number, answers, results, keep) {
  const reference =
    answers[
      Math.max(
        0,
        results.findIndex((r) => r.precision === 'fp32'),
      )
    ];
  const top = reference.map.reduce((a, b) => Math.max(a, b), 0);
  const low = reference.map.reduce((a, b) => Math.min(a, b), 1);
  const wrong = [];
  for (const [i, answer] of answers.entries()) {
    const { precision } = results[i];
    const difference = { ...apart(answer.map, reference.map), range: top - low };
    const score = Math.abs(answer.score - reference.score);
    const bad =
      precision === 'fp32'
        ? !(difference.max <= TOLERANCE * top && score <= TOLERANCE)
        : !(difference.mean <= BROKEN);
    if (bad) {
      const what = `picture ${number}: the map is ${difference.max} (mean ${difference.mean}) from fp32's, the score ${score}`;
      wrong.push([i, what]);
    } else if (keep) {
      const { ms, cpuMs } = answer;
      results[i].rounds.push({ round: number, ms, cpuMs, difference });
    }
  }
  for (const [i, what] of wrong.reverse()) {
    await drop(sides[i], what);
    results.splice(i, 1);
  }
}

function apart(map, reference) {
  let [max, sum] = [0, 0];
  for (let i = 0; i < map.length; i++) {
    const d = Math.abs(map[i] - reference[i]);
    if (d > max) max = d;
    sum += d;
  }
  return { max, mean: sum / map.length };
}

function readMap(file) {
  const bytes = readFileSync(file);
  const map = new Float32Array(bytes.buffer, bytes.byteOffset, bytes.length / 4);
  if (map.length !== size.imageSize ** 2 || !map.every(Number.isFinite)) {
    throw new Error(`Expected ${size.imageSize} x ${size.imageSize} finite values in ${file}`);
  }
  return map;
}

/** [prompts][77] token ids: the published code takes the full context. */
function ids(sentences) {
  const { tokens, length, prompts } = tokenize(sentences);
  return Array.from({ length: prompts }, (_, i) => {
    const row = [...tokens.subarray(i * length, (i + 1) * length)];
    return [...row, ...Array(size.contextLength - length).fill(0)];
  });
}

/** Everything measured, as --json writes it. */
function summary(results) {
  const published = args.size === 'vitl14-518' && threads === 2;
  return {
    machine: here,
    size: args.size,
    peaks: peaks.summary(),
    othersShare: others,
    sides: results,
    missing,
    ...(published && { targets: targets(results) }),
  };
}

function save(results) {
  if (args.json) writeFileSync(args.json, `${JSON.stringify(summary(results), null, 1)}\n`);
}

function report(results) {
  const result = summary(results);
  const range = Math.max(...results[0].rounds.map((r) => r.difference.range));
  console.log(sidesTable(results));
  console.log(
    `\n${results[0].rounds.length} rounds. s/image: RGB pixels to map and score, median. ours is: how many times as fast, median of the\n` +
      `rounds' own ratios. Map differences to fp32 are over all rounds, of maps that span up to ${range.toFixed(3)}.\n` +
      'CPU s: processor seconds of all threads, a spinning wait included. text: the 16 prompts of a class (peers: full\n' +
      'context). load: from a file in memory, compiling included. peak: VmHWM, file pages included.',
  );
  console.log(describePeaks(result.peaks));
  console.log(describeOthers(others));
  for (const s of results.filter((r) => r.settings)) console.log(`${s.name}: ${s.settings}`);
  if (result.targets) console.log(`\n${targetsTable(result.targets)}`);
  save(results);
  for (const { name, reason } of missing) console.log(`not measured: ${name}: ${reason}`);
  if (old) compare(results);
}

function compare(results) {
  const changes = compareRuns(old.sides, results, Number(args.threshold));
  console.log(`\n${path.basename(args.compare)}: ${old.machine.commit}, ${old.machine.date}`);
  console.log(comparisonTable(changes));
  if (changes.some((c) => c.worse)) process.exitCode = 1;
}
