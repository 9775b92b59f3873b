// npm run demo [IMAGE] [CLASS]: marks what looks anomalous in a picture and writes demo-out/NAME.acd.png.
//
// Uses ACD_BACKBONE and ACD_ADAPTER (or ACD_BUNDLE) when they are set. Otherwise the model has seeded
// random weights: everything runs, and the map means nothing.
import { existsSync, mkdirSync, writeFileSync } from 'node:fs';
import { basename, join, parse } from 'node:path';
import { fail, root, run, step } from './lib.mjs';

const [image, className] = process.argv.slice(2);
run(process.execPath, ['scripts/setup.mjs']);

const { AcdClip } = await import('../lib/index.mjs');
const { drawSample } = await import('./demo/sample-picture.mjs');
const { writeRandomModel } = await import('./demo/random-model.mjs');

if (image !== undefined && !existsSync(image)) fail(`There is no picture at ${image}.`);
const outFolder = join(root, 'demo-out');
mkdirSync(outFolder, { recursive: true });

const { ACD_BACKBONE: backbone, ACD_ADAPTER: adapter, ACD_BUNDLE: bundle } = process.env;
const trained = bundle !== undefined || (backbone !== undefined && adapter !== undefined);
if (!trained && (backbone !== undefined || adapter !== undefined)) {
  fail('Set both ACD_BACKBONE and ACD_ADAPTER, or ACD_BUNDLE alone.');
}
const source = bundle
  ? { bundle }
  : trained
    ? { backbone, adapter }
    : { bundle: await writeRandomModel(outFolder) };

const picture = image ?? join(outFolder, 'sample.png');
if (image === undefined) await drawSample(picture);
const noun = className ?? (image === undefined ? 'brushed metal plate' : 'object');

step(`Looking for anomalies in ${basename(picture)} ("${noun}")`);
try {
  const model = await AcdClip.load(source);
  const found = await model.detect(picture, { className: noun });
  const output = join(outFolder, `${parse(picture).name}.acd.png`);
  writeFileSync(output, await found.map.overlay(picture, { legend: true }));
  await model.dispose();
  if (!trained) {
    process.stdout.write(
      '\nTHE MODEL HAS RANDOM WEIGHTS: THE SCORE AND THE MAP ARE MEANINGLESS.\n' +
        'Set ACD_BACKBONE and ACD_ADAPTER to the paths of trained weights (see README.md).\n\n',
    );
  }
  process.stdout.write(`score    ${found.score.toFixed(4)}\n`);
  process.stdout.write(
    `time     ${(found.timing.preprocessMs + found.timing.computeMs).toFixed(0)} ms on the ${model.device}\n`,
  );
  process.stdout.write(`overlay  ${output}\n`);
} catch (error) {
  fail(error.message, error.help);
}
