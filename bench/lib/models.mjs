// Sizes to measure, and their weights as one file on disk (synth-v1: nothing is downloaded).
import { existsSync, mkdirSync } from 'node:fs';
import { createRequire } from 'node:module';
import * as path from 'node:path';
import { writeSafetensors } from './safetensors.mjs';
import { parameter } from './synth.mjs';

const { adapterShapes, backboneShapes } = createRequire(import.meta.url)(
  '../../dist/checkpoint/index.js',
);

const SEED = 20261123;
const ADAPTER = { loraRank: 16, textLoraRank: 16, convLoraRank: 8, convGroups: 1, groups: 4 };
const TEXT = { vocabSize: 49408, contextLength: 77 };

const VITL14 = {
  patchSize: 14,
  pretrainGrid: 24,
  visionWidth: 1024,
  visionLayers: 24,
  textWidth: 768,
  textLayers: 12,
  embedDim: 768,
  adapterHidden: 256,
  kernelSizes: [3, 5],
  ...ADAPTER,
  ...TEXT,
};

/** Names that --size takes. */
export const SIZES = {
  'vitl14-518': { ...VITL14, imageSize: 518 },
  'vitl14-336': { ...VITL14, imageSize: 336 },
  'vitb16-224': {
    ...VITL14,
    imageSize: 224,
    patchSize: 16,
    pretrainGrid: 14,
    visionWidth: 768,
    visionLayers: 12,
    textWidth: 512,
    embedDim: 512,
  },
  tiny: {
    ...VITL14,
    imageSize: 84,
    pretrainGrid: 4,
    visionWidth: 128,
    visionLayers: 4,
    textWidth: 128,
    textLayers: 4,
    embedDim: 128,
    adapterHidden: 32,
  },
};

export function sizeNamed(name) {
  const size = SIZES[name];
  if (!size)
    throw new Error(
      `Expected one of ${Object.keys(SIZES).join(', ')} for --size but received ${name}`,
    );
  return size;
}

/** The bundle of a size in `folder`, written when it is not there. */
export function bundleOf(name, folder) {
  const size = sizeNamed(name);
  mkdirSync(folder, { recursive: true });
  // The input size is no part of the weights: two sizes of one model share a file.
  const model = name.startsWith('vitl14') ? 'vitl14' : name;
  const file = path.join(folder, `acd-clip-bench-${model}-synth1-${SEED}.safetensors`);
  if (!existsSync(file)) {
    const shapes = new Map([...backboneShapes(size), ...adapterShapes(size)]);
    writeSafetensors(file, shapes, (n, shape) => parameter(n, shape, SEED), { seed: String(SEED) });
  }
  return file;
}
