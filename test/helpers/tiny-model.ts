// A whole ACD-CLIP of about 10 MFLOP with synthetic weights, written as files that load.
import * as path from 'node:path';
import {
  type AdapterSizes,
  adapterShapes,
  type BackboneSizes,
  backboneShapes,
  METADATA_KEYS,
  type WritableTensor,
  writeSafetensors,
} from '../../lib/checkpoint';
import { tensor } from './synth';

export interface TinySizes extends BackboneSizes, AdapterSizes {
  /** Pixels; stored in the file, so that it loads without options. */
  imageSize: number;
  /** Of the synthetic weights. */
  seed: number;
}

/** The sizes of the golden "tiny-g3". */
export const TINY: Readonly<TinySizes> = {
  imageSize: 84,
  patchSize: 14,
  pretrainGrid: 4,
  visionWidth: 128,
  visionLayers: 6,
  visionHeads: 2,
  textWidth: 128,
  textLayers: 6,
  textHeads: 2,
  vocabSize: 49408,
  contextLength: 77,
  embedDim: 128,
  groups: 3,
  loraRank: 16,
  textLoraRank: 16,
  convLoraRank: 8,
  convGroups: 1,
  kernelSizes: [3, 5],
  adapterHidden: 32,
  seed: 20261123,
};

/** Writes CLIP and adapter as one file of 36 MB and returns its path. */
export async function writeTinyModel(
  dir: string,
  overrides: Partial<TinySizes> = {},
): Promise<string> {
  const sizes = { ...TINY, ...overrides };
  return write(path.join(dir, 'tiny.safetensors'), sizes, [
    ...backboneShapes(sizes),
    ...adapterShapes(sizes),
  ]);
}

/** The same model as two files, a CLIP and its adapter. */
export async function writeTinyParts(
  dir: string,
  overrides: Partial<TinySizes> = {},
): Promise<{ backbone: string; adapter: string }> {
  const sizes = { ...TINY, ...overrides };
  return {
    backbone: await write(path.join(dir, 'tiny-clip.safetensors'), sizes, backboneShapes(sizes)),
    adapter: await write(path.join(dir, 'tiny-adapter.safetensors'), sizes, adapterShapes(sizes)),
  };
}

async function write(
  file: string,
  sizes: TinySizes,
  shapes: Iterable<[string, number[]]>,
): Promise<string> {
  const tensors = [...shapes].map(([name, shape]) => synthetic(name, shape, sizes.seed));
  await writeSafetensors(file, tensors, {
    [METADATA_KEYS.imageSize]: String(sizes.imageSize),
    ...(sizes.tokenEmbeddingSeed !== undefined && {
      [METADATA_KEYS.tokenEmbeddingSeed]: String(sizes.tokenEmbeddingSeed),
    }),
  });
  return file;
}

function synthetic(name: string, shape: number[], seed: number): WritableTensor {
  const { buffer } = tensor(name, shape, seed);
  return { name, dtype: 'f32', shape, data: new Uint8Array(buffer) };
}
