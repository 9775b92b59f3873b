// A small ACD-CLIP with seeded random weights, for trying the machinery where no trained weights are.
import { createRequire } from 'node:module';
import { join } from 'node:path';
import { seeded } from './seeded.mjs';

// The demo runs inside the checkout: it may use rooms that the public API does not show.
const { adapterShapes, backboneShapes, writeSafetensors, METADATA_KEYS } = createRequire(
  import.meta.url,
)('../../dist/checkpoint/index.js');

const SIZES = {
  patchSize: 14,
  pretrainGrid: 16,
  visionWidth: 192,
  visionLayers: 6,
  visionHeads: 3,
  textWidth: 128,
  textLayers: 4,
  textHeads: 2,
  vocabSize: 49408,
  contextLength: 77,
  embedDim: 128,
  groups: 2,
  loraRank: 8,
  textLoraRank: 8,
  convLoraRank: 8,
  convGroups: 1,
  kernelSizes: [3, 5],
  adapterHidden: 64,
};
const IMAGE_SIZE = 252;

/** Uniform numbers whose scale keeps every layer's output near unit size; norms start at identity. */
function values(name, shape, random) {
  const out = new Float32Array(shape.reduce((a, b) => a * b, 1));
  const isNorm = /ln_|layer_norms/.test(name);
  if (isNorm) return out.fill(name.endsWith('.weight') ? 1 : 0);
  if (name.endsWith('.i_w')) return out.fill(0.2);
  const isFirstAxisInput = /lora_[AB]$/.test(name);
  const fanIn = isFirstAxisInput ? shape[0] : shape.slice(1).reduce((a, b) => a * b, 1);
  const scale = shape.length < 2 ? 0.02 : Math.sqrt(3 / fanIn);
  for (let i = 0; i < out.length; i++) out[i] = scale * (2 * random() - 1);
  return out;
}

/** Writes the bundle into `folder`, replacing an older one, and returns its path. */
export async function writeRandomModel(folder) {
  const path = join(folder, 'random-model.safetensors');
  const random = seeded(20261123);
  const shapes = [...backboneShapes(SIZES), ...adapterShapes(SIZES)];
  function* tensors() {
    for (const [name, shape] of shapes) {
      const data = new Uint8Array(values(name, shape, random).buffer);
      yield { name, dtype: 'f32', shape, data };
    }
  }
  const metadata = { [METADATA_KEYS.imageSize]: String(IMAGE_SIZE) };
  await writeSafetensors(path, tensors(), metadata, { overwrite: true });
  return path;
}
