// Any CLIP with a Vision Transformer: its sizes are read off the names and shapes of its weights.
import type { ModelConfig } from '../../typings/native';
import type { Checkpoint } from './checkpoint';
import { mismatch } from './failures';
import { METADATA_KEYS, storedTokenEmbeddingSeed } from './hyperparameters';
import { checkPresent, countIndices, type Shapes, selectTensors, sizesOf } from './shape-check';
import {
  adapterTensors,
  backboneTensors,
  type NamedTensor,
  type NamedTensors,
} from './tensor-names';

export type BackboneSizes = Pick<
  ModelConfig,
  | 'patchSize'
  | 'pretrainGrid'
  | 'visionWidth'
  | 'visionLayers'
  | 'visionHeads'
  | 'textWidth'
  | 'textLayers'
  | 'textHeads'
  | 'vocabSize'
  | 'contextLength'
  | 'tokenEmbeddingSeed'
>;

export interface Backbone {
  sizes: BackboneSizes;
  /** The tensors that inference needs, under OpenAI's names. */
  tensors: NamedTensor[];
}

/**
 * Finds the CLIP towers in a checkpoint. Projections, final norms and anything else that ACD-CLIP
 * does not use are left out.
 *
 * @throws AcdClipError ERR_ACD_CHECKPOINT_MISMATCH
 */
export function inferBackbone(checkpoint: Checkpoint): Backbone {
  const what = checkpoint.path;
  const tensors = backboneTensors(checkpoint);
  checkFamily(checkpoint, tensors);
  const seed = tokenEmbeddingSeed(checkpoint, tensors);
  const landmarks = seed === undefined ? LANDMARKS : LANDMARKS.filter((name) => name !== TOKENS);
  checkPresent(what, tensors, landmarks);
  const sizes = readSizes(what, tensors, seed);
  return { sizes, tensors: selectTensors(what, tensors, backboneShapes(sizes)) };
}

/** Whether a checkpoint looks like a CLIP of any kind, complete or not. */
export function looksLikeBackbone(checkpoint: Checkpoint): boolean {
  const tensors = backboneTensors(checkpoint);
  return LANDMARKS.some((name) => tensors.has(name)) || tensors.has(RESNET);
}

const TOKENS = 'token_embedding.weight';
const LANDMARKS = [
  'visual.conv1.weight',
  'visual.class_embedding',
  'visual.positional_embedding',
  TOKENS,
  'positional_embedding',
];
const RESNET = 'visual.layer1.0.conv1.weight';

function checkFamily(checkpoint: Checkpoint, tensors: NamedTensors): void {
  if (tensors.has(RESNET)) {
    throw mismatch(
      `Expected a CLIP with a Vision Transformer for backbone but ${checkpoint.path} holds a ResNet CLIP`,
      'ACD-CLIP adapts patch tokens: use a ViT, for example ViT-L-14-336px.',
    );
  }
  if ([...tensors.keys()].some((name) => name.startsWith('visual.trunk.'))) {
    throw mismatch(
      `Expected OpenAI's vision tower for backbone but ${checkpoint.path} holds a timm one (visual.trunk.*)`,
      'Use a CLIP ViT of OpenAI, open_clip or Hugging Face whose vision tower is CLIP’s own.',
    );
  }
  if (!LANDMARKS.some((name) => tensors.has(name)) && adapterTensors(checkpoint).size > 0) {
    throw mismatch(
      `Expected a CLIP for backbone but ${checkpoint.path} is an ACD-CLIP adapter`,
      'Pass it as adapter, and the CLIP that it was trained on as backbone.',
    );
  }
}

/** The seed that a checkpoint has in place of its token table. */
function tokenEmbeddingSeed(checkpoint: Checkpoint, tensors: NamedTensors): number | undefined {
  const seed = storedTokenEmbeddingSeed(checkpoint);
  if (seed === undefined || !tensors.has(TOKENS)) return seed;
  throw mismatch(
    `Expected either ${TOKENS} or ${METADATA_KEYS.tokenEmbeddingSeed} in ${checkpoint.path} but it holds both`,
    'They may be two different tables: write the file again with the one that the model was trained with.',
  );
}

// A table that is computed has a row for every token of CLIP's vocabulary.
const CLIP_VOCABULARY = 49408;

function readSizes(what: string, tensors: NamedTensors, seed: number | undefined): BackboneSizes {
  const [visionWidth, channels, patchSize] = sizesOf(what, tensors, 'visual.conv1.weight', 4);
  const [positions] = sizesOf(what, tensors, 'visual.positional_embedding', 2);
  const [contextLength, positionWidth] = sizesOf(what, tensors, 'positional_embedding', 2);
  const [vocabSize, textWidth] =
    seed === undefined ? sizesOf(what, tensors, TOKENS, 2) : [CLIP_VOCABULARY, positionWidth];
  if (channels !== 3) {
    throw mismatch(
      `Expected 3 colour channels for visual.conv1.weight of ${what}, got ${channels}`,
    );
  }
  const pretrainGrid = Math.round(Math.sqrt(positions! - 1));
  if (pretrainGrid < 1 || pretrainGrid ** 2 !== positions! - 1) {
    throw mismatch(
      `Expected 1 + a square number of rows for visual.positional_embedding of ${what}, got ${positions}`,
    );
  }
  return {
    patchSize: patchSize!,
    pretrainGrid,
    visionWidth: visionWidth!,
    visionLayers: countIndices(what, tensors, 'visual.transformer.resblocks.'),
    visionHeads: visionHeads(what, visionWidth!),
    textWidth: textWidth!,
    textLayers: countIndices(what, tensors, 'transformer.resblocks.'),
    textHeads: headsOf64(what, 'text', textWidth!),
    vocabSize: vocabSize!,
    contextLength: contextLength!,
    ...(seed === undefined ? {} : { tokenEmbeddingSeed: seed }),
  };
}

// The number of heads is in no shape. CLIP's heads are 64 wide but for the three largest open_clip
// vision towers, which have 16 heads of 80, 88 and 104.
const SIXTEEN_HEADS = [1280, 1408, 1664];

function visionHeads(what: string, width: number): number {
  return SIXTEEN_HEADS.includes(width) ? 16 : headsOf64(what, 'vision', width);
}

function headsOf64(what: string, tower: string, width: number): number {
  if (width % 64 !== 0) {
    throw mismatch(`Expected a ${tower} width that is a multiple of 64 in ${what}, got ${width}`);
  }
  return width / 64;
}

/** Canonical names and shapes of the weights that inference needs. */
export function backboneShapes(s: BackboneSizes): Shapes {
  const shapes: Shapes = new Map([
    ['visual.class_embedding', [s.visionWidth]],
    ['visual.positional_embedding', [s.pretrainGrid ** 2 + 1, s.visionWidth]],
    ['visual.conv1.weight', [s.visionWidth, 3, s.patchSize, s.patchSize]],
    ['visual.ln_pre.weight', [s.visionWidth]],
    ['visual.ln_pre.bias', [s.visionWidth]],
  ]);
  addTower(shapes, 'visual.transformer', s.visionWidth, s.visionLayers);
  if (s.tokenEmbeddingSeed === undefined) shapes.set(TOKENS, [s.vocabSize, s.textWidth]);
  shapes.set('positional_embedding', [s.contextLength, s.textWidth]);
  addTower(shapes, 'transformer', s.textWidth, s.textLayers);
  return shapes;
}

function addTower(shapes: Shapes, tower: string, width: number, layers: number): void {
  for (let layer = 0; layer < layers; layer++) {
    const block = `${tower}.resblocks.${layer}.`;
    for (const norm of ['ln_1', 'ln_2']) {
      shapes.set(`${block}${norm}.weight`, [width]);
      shapes.set(`${block}${norm}.bias`, [width]);
    }
    shapes.set(`${block}attn.in_proj_weight`, [3 * width, width]);
    shapes.set(`${block}attn.in_proj_bias`, [3 * width]);
    shapes.set(`${block}attn.out_proj.weight`, [width, width]);
    shapes.set(`${block}attn.out_proj.bias`, [width]);
    shapes.set(`${block}mlp.c_fc.weight`, [4 * width, width]);
    shapes.set(`${block}mlp.c_fc.bias`, [4 * width]);
    shapes.set(`${block}mlp.c_proj.weight`, [width, 4 * width]);
    shapes.set(`${block}mlp.c_proj.bias`, [width]);
  }
}
