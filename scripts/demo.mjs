// npm run demo [IMAGE] [CLASS]: marks what looks anomalous in a picture and writes demo-out/NAME.acd.png.
//
// Uses ACD_BACKBONE and ACD_ADAPTER (or ACD_BUNDLE) when they are set, else the starter model; and
// without IMAGE a generated picture of a class that the starter was not trained on.
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { basename, join, parse } from 'node:path';
import { fail, root, run, step } from './lib.mjs';

/** A class held out of the starter's training, and a seed. */
const SAMPLE = { class: 'leather', seed: 3 };

const [image, className] = process.argv.slice(2);
run(process.execPath, ['scripts/setup.mjs']);
const { AcdClip, datasets } = await import('../lib/index.mjs');

if (image !== undefined && !existsSync(image)) fail(`There is no picture at ${image}.`);
const { ACD_BACKBONE: backbone, ACD_ADAPTER: adapter, ACD_BUNDLE: bundle } = process.env;
if ((backbone === undefined) !== (adapter === undefined) && bundle === undefined) {
  fail('Set both ACD_BACKBONE and ACD_ADAPTER, or ACD_BUNDLE alone.');
}
const source = bundle ? { bundle } : backbone ? { backbone, adapter } : {};
const outFolder = join(root, 'demo-out');
mkdirSync(outFolder, { recursive: true });

try {
  const sample = image === undefined ? await drawSample(join(outFolder, 'set')) : undefined;
  const picture = image ?? sample.picture;
  const noun = className ?? sample?.noun ?? 'object';
  step(`Looking for anomalies in ${basename(picture)} ("${noun}")`);
  const model = await AcdClip.load(source);
  const found = await model.detect(picture, { className: noun });
  const output = join(outFolder, `${parse(picture).name}.acd.png`);
  writeFileSync(output, await found.map.overlay(picture, { legend: true }));
  await model.dispose();
  const { preprocessMs, computeMs } = found.timing;
  const lines = [
    ['score', found.score.toFixed(4)],
    [
      'time',
      `${(preprocessMs + computeMs).toFixed(0)} ms on the ${model.device} in ${model.precision}`,
    ],
    ['picture', picture],
    ['overlay', output],
  ];
  if (sample)
    lines.splice(2, 0, ['truth', `the picture was generated with a defect: ${sample.defect}`]);
  for (const [name, value] of lines) process.stdout.write(`${name.padEnd(8)} ${value}\n`);
} catch (error) {
  fail(error.message, error.help);
}

/** One generated picture with a defect, copied out of its set. */
async function drawSample(folder) {
  const { class: name, seed } = SAMPLE;
  const abnormalOnly = { count: 1, abnormalRatio: 1, overwrite: true };
  await datasets.generate(folder, { classes: [name], seed, size: 512, ...abnormalOnly });
  const [line] = readFileSync(join(folder, 'manifest.jsonl'), 'utf8').split('\n');
  const { image_path: path } = JSON.parse(line);
  const nouns = JSON.parse(readFileSync(join(folder, 'nouns.json'), 'utf8'));
  const picture = join(outFolder, 'sample.png');
  writeFileSync(picture, readFileSync(join(folder, path)));
  return { picture, noun: nouns[name], defect: basename(parse(path).dir).replaceAll('_', ' ') };
}
