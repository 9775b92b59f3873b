// The whole model, against PyTorch: seconds from RGB pixels to map and score, text, load and memory.
//
//   node bench/compare/run.mjs [--size vitl14-518|vitl14-336|vitb16-224|tiny] [--images 5]
//        [--threads N] [--python python3] [--cache DIR] [--json FILE] [--compare OLD.json]
//
// Peers, each in its own process with the same threads: the published implementation's way (attention
// weights of every head materialised) and the same graph over scaled_dot_product_attention, both fp32
// under inference_mode. The weights are synthetic and the same for all (written once into --cache,
// 1.7 GB for ViT-L). Before anything is timed the maps must agree to 2e-5 of the largest value; then
// the sides take turns, picture by picture, after one warm-up each. Without PyTorch only our side runs.
import { execFileSync } from 'node:child_process';
import { createReadStream, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { availableParallelism, tmpdir } from 'node:os';
import * as path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { promptsFor, tokenize } from '../../lib/index.mjs';
import { options, positive } from '../lib/args.mjs';
import { Child } from '../lib/child.mjs';
import { describeMachine, machine } from '../lib/machine.mjs';
import { bundleOf, sizeNamed } from '../lib/models.mjs';
import { fixed, percent, summarise, table } from '../lib/stats.mjs';
import { picture } from '../lib/synth.mjs';

const TOLERANCE = 2e-5;
const NOUNS = ['hazelnut', 'candle', 'capsule', 'cashew nut', 'zipper'];
const WIDTH = 640;
const HEIGHT = 480;
/** Threads of the side that just ran may still spin for a moment. */
const PAUSE_MS = 100;

const args = options(import.meta.url, {
  size: 'vitl14-518',
  images: 5,
  threads: availableParallelism(),
  python: 'python3',
  cache: path.join(tmpdir(), 'acd-clip-bench'),
  json: undefined,
  compare: undefined,
});
const images = positive('images', args.images);
const threads = positive('threads', args.threads);
const size = sizeNamed(args.size);

const here = machine(threads);
const bundle = bundleOf(args.size, args.cache);
const work = mkdtempSync(path.join(tmpdir(), 'acd-clip-compare-'));
const sides = startSides();
try {
  await main();
} finally {
  await Promise.all(sides.map((side) => side.end()));
  rmSync(work, { recursive: true, force: true });
}

function startSides() {
  const script = (name) => path.join(import.meta.dirname, name);
  // Whichever runtime a side uses, it gets the same number of threads.
  const same = { OMP_NUM_THREADS: String(threads), MKL_NUM_THREADS: String(threads) };
  const started = [new Child('acd-clip-native', process.execPath, [script('ours.mjs')], same)];
  try {
    execFileSync(args.python, ['-c', 'import torch, safetensors, PIL, numpy'], { stdio: 'ignore' });
  } catch {
    console.log(`No PyTorch, safetensors, Pillow and NumPy in ${args.python}: our side only.\n`);
    return started;
  }
  for (const variant of ['published', 'sdpa']) {
    const command = [script('torch_peer.py'), '--variant', variant];
    started.push(new Child(`PyTorch, ${variant}`, args.python, command, same));
  }
  return started;
}

async function main() {
  const results = [];
  await readThrough(bundle);
  for (const side of sides) {
    const hello = await side.ask('hello', { threads });
    const { ms } = await side.ask('load', { bundle, config: size });
    results.push({ name: side.name, ...hello, loadMs: ms, imageMs: [], cpuMs: [], textMs: [] });
  }
  const torch = results.find((r) => r.torch);
  console.log(describeMachine(here));
  if (torch) console.log(`PyTorch ${torch.torch} (${torch.isa}), Pillow ${torch.pillow}`);
  console.log(
    `${args.size}, fp32, ${size.groups} groups, batch 1, picture ${WIDTH} x ${HEIGHT}, ${images} timed pictures\n`,
  );

  const agreement = await checkAgreement(results);
  for (let i = 1; i <= images; i++) await round(i, results);
  for (const [i, side] of sides.entries()) results[i].memory = await side.ask('memory');
  report(results, agreement);
}

/** Into the page cache: no side shall pay for the disk alone. */
async function readThrough(file) {
  for await (const _ of createReadStream(file, { highWaterMark: 2 ** 22 }));
}

/** One picture and one class on every side, in turns. Returns the answers. */
async function round(number, results, save) {
  const noun = NOUNS[number % NOUNS.length];
  const prompts = promptsFor(noun);
  const shape = { file: path.join(work, `picture-${number}.rgb`), width: WIDTH, height: HEIGHT };
  writeFileSync(shape.file, picture(`compare.${number}`, WIDTH, HEIGHT));
  const text = { prompts, normal: ids(prompts.normal), abnormal: ids(prompts.abnormal) };
  for (const [i, side] of sides.entries()) {
    const { ms } = await side.ask('text', text);
    if (!save) results[i].textMs.push(ms);
    await sleep(PAUSE_MS);
  }
  const answers = [];
  for (const [i, side] of sides.entries()) {
    const answer = await side.ask('image', { ...shape, ...(save ? { save: save(i) } : {}) });
    answers.push(answer);
    if (!save) {
      results[i].imageMs.push(answer.ms);
      results[i].cpuMs.push(answer.cpuMs);
    }
    await sleep(PAUSE_MS);
  }
  for (const { score } of answers.slice(1)) {
    const apart = Math.abs(score - answers[0].score);
    if (!(apart <= TOLERANCE)) throw new Error(`Scores of picture ${number} are ${apart} apart`);
  }
  return answers;
}

/** The warm-up, which doubles as the check that all sides compute the same. */
async function checkAgreement(results) {
  const files = sides.map((_, i) => path.join(work, `map-${i}.f32`));
  const answers = await round(0, results, (i) => files[i]);
  const [ours, ...peers] = files.map(readMap);
  const top = ours.reduce((a, b) => Math.max(a, b), 0);
  const low = ours.reduce((a, b) => Math.min(a, b), 1);
  console.log(
    `map from ${low.toFixed(3)} to ${top.toFixed(3)}, score ${answers[0].score.toFixed(6)}`,
  );
  const apart = peers.map((map, i) => {
    const most = ours.reduce((worst, v, at) => Math.max(worst, Math.abs(v - map[at])), 0);
    const relative = most / top;
    // A flat map hides differences: the spread tells how much there was to get wrong.
    console.log(
      `largest map difference to ${sides[i + 1].name}: ${relative.toExponential(1)} of the maximum, ${(most / (top - low)).toExponential(1)} of the map's range`,
    );
    if (!(relative <= TOLERANCE)) {
      throw new Error(`Expected at most ${TOLERANCE} of the maximum: nothing is timed`);
    }
    return relative;
  });
  console.log('');
  return apart;
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

/** Multiply-adds of the frozen vision tower, twice: the work that no side can avoid. */
function backboneGflop() {
  const { imageSize, patchSize, visionWidth: D, visionLayers } = size;
  const tokens = (imageSize / patchSize) ** 2 + 1;
  const patches = 2 * (tokens - 1) * D * 3 * patchSize ** 2;
  return (patches + 2 * tokens * visionLayers * (12 * D * D + 2 * tokens * D)) / 1e9;
}

function report(results, agreement) {
  const rows = results.map((r) => ({
    ...r,
    image: summarise(r.imageMs),
    text: summarise(r.textMs),
  }));
  const [ours] = rows;
  const gib = (bytes) => (bytes === undefined ? '-' : (bytes / 2 ** 30).toFixed(2));
  console.log(
    table(
      [
        'fp32',
        's/image',
        'min..max',
        'spread',
        'ours is',
        'GFLOP/s',
        'CPU s',
        'text ms',
        'load s',
        'peak GiB',
        'after GiB',
      ],
      rows.map((r) => [
        r.name,
        fixed(r.image.median / 1000, 3),
        `${fixed(r.image.min / 1000, 3)}..${fixed(r.image.max / 1000, 3)}`,
        percent(r.image.spread),
        `${fixed(r.image.median / ours.image.median)}x`,
        fixed(backboneGflop() / (r.image.median / 1000), 0),
        fixed(summarise(r.cpuMs).median / 1000, 3),
        fixed(r.text.median, 1),
        fixed(r.loadMs / 1000, 2),
        gib(r.memory.peak),
        gib(r.memory.resident),
      ]),
    ),
  );
  console.log(
    '\ns/image: RGB pixels to map and score. GFLOP/s: of the frozen vision tower alone, over the whole time.\n' +
      'CPU s: processor seconds of all threads, a spinning wait included.\n' +
      'text: the 16 prompts of a class (peers: full context). peak: VmHWM, file pages included.',
  );
  const result = {
    machine: here,
    size: args.size,
    images,
    largestMapDifference: agreement,
    sides: rows.map(({ image, text, ...r }) => ({ ...r, image, text })),
  };
  if (args.compare) compareWith(JSON.parse(readFileSync(args.compare, 'utf8')), rows);
  if (args.json) writeFileSync(args.json, `${JSON.stringify(result, null, 1)}\n`);
}

/** Against an earlier run: the peers' change tells how far the machine itself drifted. */
function compareWith(old, rows) {
  if (old.size !== args.size)
    throw new Error(`${args.compare} measured ${old.size}, not ${args.size}`);
  const lines = rows.flatMap((r) => {
    const before = old.sides.find((s) => s.name === r.name);
    if (!before) return [];
    const change = (now, then) => `${(now / then).toFixed(3)}`;
    return [
      [
        r.name,
        fixed(before.image.median / 1000, 3),
        fixed(r.image.median / 1000, 3),
        change(r.image.median, before.image.median),
        change(r.text.median, before.text.median),
      ],
    ];
  });
  console.log(
    `\nagainst ${path.basename(args.compare)} (${old.machine.commit}, ${old.machine.date}):`,
  );
  console.log(table(['', 'then s', 'now s', 'now/then', 'text'], lines));
}
