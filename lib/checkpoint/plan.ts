// From checkpoints to what the native addon loads: which bytes of which file are which weight, and
// the shape of the whole computation.
import { createHash } from 'node:crypto';
import type { ModelConfig, TensorPart, TensorSource } from '../../typings/native';
import { AcdClipError } from '../errors';
import { checkInteger, checkOptions, invalid, isPlainObject, show } from '../validate';
import { type AdapterSizes, inferAdapter } from './adapter';
import { type BackboneSizes, inferBackbone, looksLikeBackbone } from './backbone';
import type { Checkpoint, CheckpointFile } from './checkpoint';
import { mismatch } from './failures';
import { resolveHyperparameters } from './hyperparameters';
import type { PlanOverrides } from './plan-overrides';
import type { NamedTensor } from './tensor-names';

export interface PlanOptions extends PlanOverrides {
  /** A CLIP; goes together with `adapter`. */
  backbone?: Checkpoint;
  adapter?: Checkpoint;
  /** One file that holds both. */
  bundle?: Checkpoint;
}

export interface ModelPlan {
  /** ModelSpec.files. */
  files: string[];
  tensors: TensorSource[];
  config: ModelConfig;
  /** Equal for equal files and settings: for ModelSpec.shareKey. */
  identity: string;
  warnings: string[];
}

const OPTIONS = [
  'backbone',
  'adapter',
  'bundle',
  'imageSize',
  'visionLevels',
  'textLevels',
  'loraAlpha',
  'convLoraAlpha',
  'textLoraAlpha',
  'quickGelu',
  'visionHeads',
  'textHeads',
];

/**
 * Maps checkpoints to the weights and sizes of one ACD-CLIP model.
 *
 * @throws AcdClipError ERR_ACD_NO_MODEL, ERR_ACD_INVALID_ARG, ERR_ACD_UNKNOWN_OPTION, or
 *   ERR_ACD_CHECKPOINT_MISMATCH when the tensors do not make up one model
 */
export function planModel(options: PlanOptions): ModelPlan {
  checkOptions('planModel', options, OPTIONS);
  const { clip, adapted } = sources(options);
  const backbone = inferBackbone(clip);
  const adapter = inferAdapter(adapted);
  checkFit(clip, backbone.sizes, adapted, adapter.sizes);
  const warnings: string[] = [];
  const config = buildConfig(options, backbone.sizes, adapter.sizes, adapted, warnings);
  const files = new FileTable();
  const tensors = [
    ...backbone.tensors.map((tensor) => files.source(clip, tensor)),
    ...adapter.tensors.map((tensor) => files.source(adapted, tensor)),
  ];
  return {
    files: files.list.map((f) => f.path),
    tensors,
    config,
    identity: createHash('sha256')
      .update(JSON.stringify([files.list, config]))
      .digest('hex'),
    warnings,
  };
}

function half(expected: string, what: string): AcdClipError {
  return new AcdClipError('ERR_ACD_INVALID_ARG', `Expected ${expected} but received none`, {
    help: `Pass ${what}, or one file with both as bundle.`,
  });
}

function sources(options: PlanOptions): { clip: Checkpoint; adapted: Checkpoint } {
  const { backbone, adapter, bundle } = options;
  for (const [name, value] of Object.entries({ backbone, adapter, bundle })) {
    if (value !== undefined && !(isPlainObject(value) && value.tensors instanceof Map)) {
      throw invalid(name, 'checkpoint from readCheckpoint', value);
    }
  }
  if (bundle !== undefined) {
    if (backbone !== undefined || adapter !== undefined) {
      throw new AcdClipError(
        'ERR_ACD_INVALID_ARG',
        'Expected either bundle alone or backbone with adapter but received bundle with another',
      );
    }
    return { clip: bundle, adapted: bundle };
  }
  if (backbone === undefined && adapter === undefined) {
    throw new AcdClipError(
      'ERR_ACD_NO_MODEL',
      'Expected backbone with adapter, or bundle, but received neither',
    );
  }
  if (backbone === undefined)
    throw half(
      'a CLIP for backbone beside the adapter',
      'the CLIP that the adapter was trained on',
    );
  if (adapter === undefined)
    throw half('an adapter beside the backbone', 'the ACD-CLIP adapter (.pth or .safetensors)');
  if (
    adapter !== backbone &&
    looksLikeBackbone(adapter) &&
    adapter.tensors.has('text_adapter.m_t_w.0.i_w')
  ) {
    throw mismatch(
      `Expected an adapter alone for adapter but ${adapter.path} holds a CLIP too`,
      'Pass it as bundle, without a backbone.',
    );
  }
  return { clip: backbone, adapted: adapter };
}

function checkFit(clip: Checkpoint, b: BackboneSizes, adapted: Checkpoint, a: AdapterSizes): void {
  const same = (what: string, got: number, wanted: number) => {
    if (got === wanted) return;
    throw mismatch(
      `Expected ${what} ${wanted}, as in ${clip.path}, for the adapter ${adapted.path} but received ${got}`,
      'The adapter was trained on another CLIP: use the backbone that its training used.',
    );
  };
  same('vision width', a.visionWidth, b.visionWidth);
  same('text width', a.textWidth, b.textWidth);
  if (a.embedDim !== b.textWidth) {
    throw mismatch(
      `Expected adapter heads as wide as the text (${b.textWidth}) in ${adapted.path} but received ${a.embedDim}`,
    );
  }
}

function buildConfig(
  options: PlanOverrides,
  b: BackboneSizes,
  a: AdapterSizes,
  adapted: Checkpoint,
  warnings: string[],
): ModelConfig {
  const stored = resolveHyperparameters(options, adapted);
  const visionHeads = heads('visionHeads', options.visionHeads, b.visionHeads, b.visionWidth);
  const textHeads = heads('textHeads', options.textHeads, b.textHeads, b.textWidth);
  const headWidths = [b.visionWidth / visionHeads, b.textWidth / textHeads];
  if (headWidths.some((width) => width !== 64)) {
    warnings.push(`Attention heads are ${headWidths.join(' and ')} wide (vision, text), not 64.`);
  }
  return {
    ...b,
    ...a,
    imageSize: imageSize(options.imageSize ?? stored.imageSize, b),
    visionHeads,
    textHeads,
    visionLevels: levels('visionLevels', options.visionLevels, b.visionLayers, a.groups),
    textLevels: levels('textLevels', options.textLevels, b.textLayers, a.groups),
    loraAlpha: stored.loraAlpha,
    textLoraAlpha: stored.textLoraAlpha,
    convLoraAlpha: stored.convLoraAlpha,
    quickGelu: stored.quickGelu,
  };
}

const MAX_IMAGE_SIZE = 4096;

function imageSize(wanted: number | undefined, b: BackboneSizes): number {
  const published = b.patchSize === 14 && b.visionWidth === 1024;
  const size = wanted ?? (published ? 518 : b.pretrainGrid * b.patchSize);
  checkInteger('imageSize', size, b.patchSize, MAX_IMAGE_SIZE);
  if (size % b.patchSize !== 0) {
    throw invalid('imageSize', `multiple of the patch size ${b.patchSize}`, size);
  }
  return size;
}

function heads(name: string, wanted: number | undefined, inferred: number, width: number): number {
  if (wanted === undefined) return inferred;
  checkInteger(name, wanted, 1, width);
  if (width % wanted !== 0) throw invalid(name, `divisor of the width ${width}`, wanted);
  return wanted;
}

function levels(
  name: 'visionLevels' | 'textLevels',
  wanted: number[] | undefined,
  layers: number,
  groups: number,
): number[] {
  if (wanted !== undefined) {
    const ascending =
      Array.isArray(wanted) &&
      wanted.length === groups &&
      wanted.every(
        (v, i) => Number.isInteger(v) && v > (i === 0 ? 0 : wanted[i - 1]!) && v <= layers,
      );
    if (!ascending) {
      const got = Array.isArray(wanted) ? `[${wanted.map(show).join(', ')}]` : show(wanted);
      throw new AcdClipError(
        'ERR_ACD_INVALID_ARG',
        `Expected ${groups} ascending layer numbers between 1 and ${layers} for ${name} but received ${got}`,
      );
    }
    return [...wanted];
  }
  if (layers % groups !== 0) {
    throw mismatch(
      `Expected ${groups} groups to divide ${layers} layers evenly, but they do not`,
      `Pass ${name}: the ${groups} layer numbers, ascending, after which the groups end.`,
    );
  }
  return Array.from({ length: groups }, (_, i) => ((i + 1) * layers) / groups);
}

/** Files of all checkpoints in one list, and tensors that point into it. */
class FileTable {
  readonly list: CheckpointFile[] = [];

  source(checkpoint: Checkpoint, tensor: NamedTensor): TensorSource {
    return {
      name: tensor.name,
      shape: [...tensor.shape],
      parts: tensor.parts.map((part) => ({
        file: this.index(checkpoint.files[part.file]!),
        offset: part.offset,
        dtype: part.dtype as TensorPart['dtype'],
        shape: [...part.shape],
        ...(part.strides === undefined ? {} : { strides: [...part.strides] }),
      })),
    };
  }

  private index(file: CheckpointFile): number {
    const known = this.list.findIndex((f) => f.path === file.path);
    return known >= 0 ? known : this.list.push(file) - 1;
  }
}
