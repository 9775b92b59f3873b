// What the starter model is worth, beside an untrained twin and a classical outlier map, in one run:
//
//   node scripts/starter/evaluate.mjs --data DIR [--bundle FILE] [--untrained FILE] [--json OUT]
//     [--pictures DIR] [--generated-count N] [--generated-seed S] [--write FILE]...
//
// DIR holds the real sets hazelnut_toy, magnetic_tile and kvasir_seg, each with a manifest.jsonl;
// without it only generated pictures of the held-out classes are scored. --write puts the table between
// the marks of a Markdown file (the model card). Nothing is learned or chosen here, so every picture
// counts, those of train folders too. Prints a Markdown table.
import { createHash } from 'node:crypto';
import { createReadStream, existsSync } from 'node:fs';
import { mkdtemp, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { basename, join, relative } from 'node:path';
import { pipeline } from 'node:stream/promises';
import { parseArgs } from 'node:util';
import { AcdClip, AcdClipError, datasets, getRuntimeInfo } from '../../lib/index.mjs';
import { fail, root, step } from '../lib.mjs';
import { CONSTANTS, classicalMap } from './baseline.mjs';
import { writePanels } from './evaluate-pictures.mjs';
import { markdown, withTable } from './evaluate-report.mjs';
import {
  generatedClasses,
  REAL_SETS,
  readMask,
  readPicture,
  readSet,
  SetError,
} from './evaluate-sets.mjs';
import { writeUntrained } from './evaluate-untrained.mjs';
import { meanOf, rank } from './metrics.mjs';

/** A random network ranks pixels better or worse than chance by luck; draws are averaged. */
const UNTRAINED_DRAWS = 3;
/** The card's numbers hold on every machine. */
const PRECISION = 'fp32';
/** Pictures of a class that share a design, and in which every kind of defect comes once. */
const PER_DESIGN = 30;

const options = readOptions();
const scratch = await mkdtemp(join(tmpdir(), 'acd-evaluate-'));
try {
  const report = await evaluate(options, scratch);
  const table = markdown(report);
  process.stdout.write(`\n${table}`);
  for (const file of options.write) {
    await writeFile(file, withTable(await readFile(file, 'utf8'), table));
  }
  if (options.json) await writeFile(options.json, `${JSON.stringify(report, null, 2)}\n`);
} catch (error) {
  if (!(error instanceof AcdClipError || error instanceof SetError)) throw error;
  process.exitCode = 1;
  process.stderr.write(`\n${error.message}\n${error.help ?? ''}\n`);
} finally {
  await rm(scratch, { recursive: true });
}

function readOptions() {
  const text = { type: 'string' };
  const known = {
    data: text,
    bundle: { ...text, default: join(root, 'assets/starter.safetensors') },
    untrained: text,
    json: text,
    pictures: text,
    write: { ...text, multiple: true, default: [] },
    'generated-count': { ...text, default: '480' },
    'generated-seed': { ...text, default: '1' },
  };
  let values;
  try {
    values = parseArgs({ options: known }).values;
  } catch (error) {
    fail(
      error.message,
      `Options: ${Object.keys(known)
        .map((name) => `--${name}`)
        .join(' ')}`,
    );
  }
  const { data, bundle, untrained } = values;
  const missing = [data, bundle, untrained].find((f) => f !== undefined && !existsSync(f));
  if (missing !== undefined) {
    fail(
      `There is nothing at ${missing}.`,
      missing === data
        ? `--data is a folder that holds ${REAL_SETS.map((s) => s.name).join(', ')}; leave it out to score generated pictures alone.`
        : 'Name a file with the weights of CLIP and adapter, --bundle FILE.',
    );
  }
  const number = (name) => {
    const value = Number(values[name]);
    if (!Number.isSafeInteger(value) || value < 0) {
      fail(`Expected a whole number from 0 for --${name} but received ${values[name]}`);
    }
    return value;
  };
  return { ...values, count: number('generated-count'), seed: number('generated-seed') };
}

async function evaluate({ data, bundle, untrained, pictures, count, seed }, folder) {
  const starter = await AcdClip.load({ bundle, precision: PRECISION });
  const side = starter.imageSize;
  const twins = await untrainedModels(bundle, untrained, side, folder);
  const methods = [
    { name: 'starter', run: modelRun(starter), pictures },
    ...twins.map((model) => ({ name: 'untrained', run: modelRun(model) })),
    { name: 'classical', run: classicalRun(side) },
  ];
  const sets = [];
  for (const set of data === undefined ? [] : REAL_SETS) {
    const entries = await readSet(join(data, set.name));
    const nounAndDomain = { noun: set.noun, domain: set.domain };
    sets.push(
      await score(
        set.name,
        entries.map((entry) => ({ ...entry, ...nounAndDomain })),
        methods,
        side,
      ),
    );
  }
  const real = [...sets];
  const generated = await generate(count, seed, folder);
  if (generated) {
    sets.push(await score('generated', generated.entries, methods, side, { byClass: true }));
  }
  await Promise.all([starter, ...twins].map((model) => model.dispose()));
  return {
    bundle: {
      file: basename(bundle),
      sha256: await sha256(bundle),
      bytes: (await stat(bundle)).size,
    },
    imageSize: side,
    untrained: untrained
      ? { file: basename(untrained), sha256: await sha256(untrained) }
      : { drawnFrom: basename(bundle), seeds: twins.map((_, i) => i + 1) },
    classical: CONSTANTS,
    ...(generated ? { generated: generated.facts } : {}),
    runtime: getRuntimeInfo(),
    sets,
    ...(real.length > 0 ? { realMean: realMean(real) } : {}),
  };
}

async function untrainedModels(bundle, untrained, side, folder) {
  if (untrained !== undefined) {
    const model = await AcdClip.load({ bundle: untrained, precision: PRECISION });
    if (model.imageSize === side) return [model];
    throw new SetError(`${untrained} takes pictures of ${model.imageSize} pixels, not ${side}.`);
  }
  const models = [];
  for (let draw = 1; draw <= UNTRAINED_DRAWS; draw++) {
    const file = join(folder, `untrained-${draw}.safetensors`);
    await writeUntrained(bundle, file, draw);
    models.push(await AcdClip.load({ bundle: file, precision: PRECISION }));
  }
  return models;
}

/** Sets of a seed each, because the pictures of a class in one set share their design. */
async function generate(count, seed, folder) {
  if (count === 0) return undefined;
  const classes = generatedClasses({ heldOut: true });
  const perSeed = PER_DESIGN * classes.length;
  const seeds = Array.from({ length: Math.ceil(count / perSeed) }, (_, i) => seed + i);
  const entries = [];
  for (const [i, s] of seeds.entries()) {
    const share = Math.min(perSeed, count - i * perSeed);
    const out = join(folder, `generated-${s}`);
    await datasets.generate(out, { count: share, seed: s, classes });
    const nouns = JSON.parse(await readFile(join(out, 'nouns.json'), 'utf8'));
    for (const entry of await readSet(out)) {
      const id = `${s}-${relative(out, entry.image)}`;
      entries.push({ ...entry, id, noun: nouns[entry.className], domain: 'industrial' });
    }
  }
  return { entries, facts: { count: entries.length, seeds, classes } };
}

// ---------------------------------------------------------------------- methods

/** Yields { map, score } of each entry, in order. */
function modelRun(model) {
  return async function* run(entries) {
    for (const { image, noun, domain } of entries) {
      const found = await model.detect(image, { className: noun, domain, map: 'model' });
      yield { map: found.map.data, score: found.score };
    }
  };
}

function classicalRun(side) {
  return async function* run(entries) {
    for (const { image } of entries) yield classicalMap(await readPicture(image, side), side);
  };
}

// ---------------------------------------------------------------------- scores

async function score(name, unsorted, methods, side, { byClass = false } = {}) {
  // Class by class, so that a class is one stretch of pixels.
  const entries = unsorted.toSorted((a, b) => compare(a.className, b.className));
  const size = side * side;
  const truth = new Uint8Array(entries.length * size);
  for (const [i, { mask }] of entries.entries()) truth.set(await readMask(mask, side), i * size);
  const labels = entries.map((entry) => entry.label);
  const runs = [];
  for (const method of methods) {
    step(`${name}: ${method.name}, ${entries.length} pictures`);
    const maps = new Float32Array(truth.length);
    const scores = [];
    for await (const found of method.run(entries)) {
      const i = scores.push(found.score) - 1;
      maps.set(found.map, i * size);
      if (method.pictures === undefined) continue;
      const mask = truth.subarray(i * size, (i + 1) * size);
      const sample = { rgb: await readPicture(entries[i].image, side), mask, map: found.map };
      await writePanels(pictureFile(method.pictures, name, entries[i]), sample, side);
    }
    const within = (first, end) => ({
      pixel: rank(
        maps.subarray(first * size, end * size),
        truth.subarray(first * size, end * size),
      ),
      image: rank(scores.slice(first, end), labels.slice(first, end)),
    });
    const pooled = within(0, entries.length);
    const classes = byClass
      ? stretches(entries).map(([className, first, end]) => [className, within(first, end)])
      : [];
    runs.push({ method: method.name, pooled, classes: Object.fromEntries(classes) });
  }
  const abnormal = labels.filter((label) => label === 1).length;
  const { positives, negatives } = runs[0].pooled.pixel;
  return {
    name,
    title: `${byClass ? `${name}, held-out classes` : name} (${entries.length}, ${abnormal} abnormal)`,
    pictures: entries.length,
    abnormal,
    pixelShare: positives / (positives + negatives),
    results: byMethod(runs, (run) => [run.pooled]),
    ...(byClass ? { classMean: byMethod(runs, (run) => Object.values(run.classes)) } : {}),
    runs,
  };
}

/** [class name, first, end] of sorted entries. */
function stretches(entries) {
  return [...new Set(entries.map((entry) => entry.className))].map((className) => {
    const first = entries.findIndex((entry) => entry.className === className);
    return [className, first, entries.findLastIndex((e) => e.className === className) + 1];
  });
}

/** Means over a method's results, and over the draws that share its name. */
function byMethod(runs, resultsOf) {
  const names = [...new Set(runs.map((run) => run.method))];
  return Object.fromEntries(
    names.map((name) => [
      name,
      meanResult(runs.filter((r) => r.method === name).flatMap(resultsOf)),
    ]),
  );
}

function meanResult(results) {
  const mean = (part, metric) => meanOf(results.map((result) => result[part][metric]));
  return {
    pixel: { auroc: mean('pixel', 'auroc'), ap: mean('pixel', 'ap') },
    image: { auroc: mean('image', 'auroc'), ap: mean('image', 'ap') },
  };
}

/** Pixel AUROC alone: image metrics are not defined on every set. */
function realMean(sets) {
  return Object.fromEntries(
    Object.keys(sets[0].results).map((method) => [
      method,
      { pixel: { auroc: meanOf(sets.map((set) => set.results[method].pixel.auroc)) } },
    ]),
  );
}

function pictureFile(folder, set, { image, id }) {
  const last = id ?? image.split('/').slice(-3).join('/');
  return join(folder, set, `${last.replaceAll('/', '-').replace(/\.\w+$/, '')}.png`);
}

function compare(a, b) {
  return a < b ? -1 : a > b ? 1 : 0;
}

async function sha256(file) {
  const hash = createHash('sha256');
  await pipeline(createReadStream(file), hash);
  return hash.digest('hex');
}
