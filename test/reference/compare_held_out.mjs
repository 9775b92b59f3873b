// The package's side of held_out.py: for each folder named on standard input, loads the checkpoints
// through the public API, detects, and prints one line of JSON with the errors against the oracle's
// float64 results (and float32's own, for scale). Run by held_out.py; by hand:
//   echo FOLDER | node test/reference/compare_held_out.mjs      (a folder kept by held_out.py --keep)
import * as path from 'node:path';
import { createInterface } from 'node:readline';
import { readSafetensors } from '../../bench/lib/safetensors.mjs';
import { AcdClip } from '../../lib/index.mjs';

/** What float32 may lose more than plain float32 PyTorch does, where that is beyond the tolerance. */
const SLACK = 4;
const MAP_WEIGHT = { industrial: 0.1, medical: 0.5 };

for await (const folder of createInterface({ input: process.stdin })) {
  const answer = await compare(folder).catch((error) => ({
    error: `${error.code ?? error.name}: ${error.message}`,
  }));
  process.stdout.write(`${JSON.stringify(answer)}\n`);
}

async function compare(folder) {
  const { default: plan } = await import(path.join(folder, 'case.json'), {
    with: { type: 'json' },
  });
  const files = Object.fromEntries(
    Object.entries(plan.files).map(([kind, name]) => [kind, path.join(folder, name)]),
  );
  const expected = readSafetensors(path.join(folder, 'expected.safetensors'));
  const model = await AcdClip.load({ ...files, ...plan.options, precision: 'fp32' });
  try {
    const ours = await run(model, plan);
    return judge(ours, expected, plan);
  } finally {
    await model.dispose();
  }
}

async function run(model, plan) {
  const text = await model.encodePrompts(plan.prompts.className ?? plan.prompts.prompts);
  const options = { ...plan.prompts, domain: plan.domain };
  const found = await model.detectBatch(plan.pictures, options);
  // Alone, each picture must give what it gave in the batch: the same bytes.
  for (const [i, picture] of plan.pictures.entries()) {
    const alone = await model.detect(picture, options);
    if (alone.score !== found[i].score || !sameBytes(alone.map.data, found[i].map.data)) {
      throw new Error(`picture ${i} differs alone and in a batch of ${plan.pictures.length}`);
    }
  }
  const embedded = [];
  for (const picture of plan.pictures) embedded.push(await model.embed(picture, { patches: true }));
  return {
    text: text.data,
    map: join(found.map((f) => f.map.data)),
    score: Float64Array.from(found, (f) => f.score),
    cls: Float64Array.from(found, (f) => f.parts.cls),
    features: join(embedded.map((e) => e.features)),
    patches: join(embedded.map((e) => e.patches)),
    scoreOfParts: found.map(
      (f) => (1 - MAP_WEIGHT[plan.domain]) * f.parts.cls + MAP_WEIGHT[plan.domain] * f.parts.mapMax,
    ),
  };
}

function judge(ours, expected, { tolerance }) {
  const errors = {};
  let verdict = 'ok';
  const note = (name, ours64, plain64, ours32) => {
    errors[name] = { ours64, plain64, ours32 };
    if (ours64 <= tolerance) return;
    const excused = ours64 <= SLACK * plain64;
    if (!excused) verdict = 'FAIL';
    else if (verdict === 'ok') verdict = 'f32';
  };
  for (const name of ['map', 'score', 'cls', 'text', 'features', 'patches']) {
    const truth = expected.get(`f64.${name}`).data;
    const plain = expected.get(`f32.${name}`).data;
    note(name, distance(ours[name], truth), distance(plain, truth), distance(ours[name], plain));
    if (name !== 'map') continue;
    const scale = truth.reduce((a, b) => Math.max(a, b), 0);
    const { map } = errors;
    note('mapRelative', map.ours64 / scale, map.plain64 / scale, map.ours32 / scale);
  }
  const parts = distance(ours.score, ours.scoreOfParts);
  if (parts > 1e-6) throw new Error(`score is ${parts} away from what its parts give`);
  // A flat map would agree with anything: how far the true one spreads is worth knowing.
  const map = expected.get('f64.map').data;
  const [low, high] = map.reduce(([l, h], v) => [Math.min(l, v), Math.max(h, v)], [1, 0]);
  return { verdict, errors, mapSpread: high - low };
}

/** Largest difference; Infinity where lengths differ or either holds what is no number. */
function distance(a, b) {
  if (a.length !== b.length) return Number.POSITIVE_INFINITY;
  let most = 0;
  for (let i = 0; i < a.length; i++) {
    const d = Math.abs(a[i] - b[i]);
    if (!(d <= most)) most = Number.isNaN(d) ? Number.POSITIVE_INFINITY : d;
  }
  return most;
}

function join(parts) {
  const all = new Float32Array(parts.reduce((n, p) => n + p.length, 0));
  let at = 0;
  for (const part of parts) {
    all.set(part, at);
    at += part.length;
  }
  return all;
}

function sameBytes(a, b) {
  const bytes = (v) => Buffer.from(v.buffer, v.byteOffset, v.byteLength);
  return bytes(a).equals(bytes(b));
}
