// How the constants of baseline.mjs were chosen: one after another, each to the value that does best
// on generated samples of the training classes, twice round. Held-out classes and real pictures play
// no part.
//
//   node scripts/starter/baseline-constants.mjs [samples per class, default 6] [seed, default 7001]
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { datasets } from '../../lib/index.mjs';
import { CONSTANTS, classicalMap } from './baseline.mjs';
import { generatedClasses, readMask, readPicture, readSet } from './evaluate-sets.mjs';
import { meanOf, rank } from './metrics.mjs';

const SIDE = 160;
const CANDIDATES = {
  localWeight: [0, 0.25, 0.5, 0.75, 1],
  surround: [16 / 224, 28 / 224, 48 / 224],
  blur: [1 / 224, 2 / 224, 4 / 224, 7 / 224],
  noiseFloor: [0.25, 0.5, 1, 2, 4],
  coarse: [3 / 224, 5 / 224, 8 / 224, 12 / 224],
  shrinkage: [0.02, 0.1, 0.3, 1],
  trimmed: [0, 0.05, 0.1, 0.2],
  fine: [0.7 / 224, 1 / 224, 1.5 / 224],
  quantile: [0.98, 0.99, 0.995, 0.999, 1],
};

const [perClass = 6, seed = 7001] = process.argv.slice(2).map(Number);
const folder = await mkdtemp(join(tmpdir(), 'acd-baseline-'));
try {
  const classes = generatedClasses({ heldOut: false });
  await datasets.generate(folder, { count: perClass * classes.length, seed, classes });
  await choose(await read(folder));
} finally {
  await rm(folder, { recursive: true });
}

async function read(root) {
  const samples = [];
  for (const entry of await readSet(root)) {
    const [rgb, mask] = [await readPicture(entry.image, SIDE), await readMask(entry.mask, SIDE)];
    samples.push({ ...entry, rgb, mask });
  }
  return samples;
}

async function choose(samples) {
  let best = { ...CONSTANTS };
  let bestValue = worth(samples, best);
  report('as they are', bestValue);
  for (let round = 0; round < 2; round++) {
    for (const [name, values] of Object.entries(CANDIDATES)) {
      const current = best[name];
      for (const value of values.filter((v) => v !== current)) {
        const trial = { ...best, [name]: value };
        const result = worth(samples, trial);
        report(`${name} ${value}`, result);
        if (result.mean > bestValue.mean) [best, bestValue] = [trial, result];
      }
    }
  }
  process.stdout.write(`${JSON.stringify(best, null, 2)}\n`);
}

/** Pixels of all pictures together, pixels class by class, and whole pictures, in equal parts. */
function worth(samples, constants) {
  const size = SIDE * SIDE;
  const scores = new Float32Array(samples.length * size);
  const labels = new Uint8Array(scores.length);
  const found = samples.map(({ rgb, mask }, i) => {
    const { map, score } = classicalMap(rgb, SIDE, constants);
    scores.set(map, i * size);
    labels.set(mask, i * size);
    return score;
  });
  // readSet keeps the manifest's order: class by class.
  const names = [...new Set(samples.map((s) => s.className))];
  const ofClasses = names.map((name) => {
    const first = samples.findIndex((s) => s.className === name) * size;
    const end = (samples.findLastIndex((s) => s.className === name) + 1) * size;
    return rank(scores.subarray(first, end), labels.subarray(first, end)).auroc;
  });
  const { auroc: image } = rank(
    found,
    samples.map((s) => s.label),
  );
  const parts = { pixel: rank(scores, labels).auroc, classes: meanOf(ofClasses), image };
  return { ...parts, mean: meanOf(Object.values(parts)) };
}

function report(what, { mean, ...parts }) {
  const numbers = Object.entries(parts).map(([name, value]) => `${name} ${value.toFixed(4)}`);
  process.stdout.write(`${mean.toFixed(4)}  ${numbers.join('  ')}  ${what}\n`);
}
