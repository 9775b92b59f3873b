// One checkpoint format into another.
import * as path from 'node:path';
import { AcdClipError } from '../errors';
import {
  checkBoolean,
  checkOneOf,
  checkOptions,
  checkSignal,
  checkString,
  invalid,
} from '../validate';
import type { WriteOptions } from './atomic-file';
import type { Checkpoint, MetadataValue } from './checkpoint';
import { isFloatDtype } from './convert-floats';
import type { TorchValue } from './pickle-writer';
import { readCheckpoint } from './read';
import type { WritableTensor } from './tensor-bytes';
import { writeSafetensors } from './write-safetensors';
import { writeTorch } from './write-torch';

export interface ConvertOptions extends WriteOptions {
  /** Type of the floating-point tensors in the output; integers stay as they are. Default keep. */
  dtype?: 'keep' | 'f32' | 'f16' | 'bf16';
}

export interface ConvertResult {
  /** Absolute path of the output. */
  path: string;
  bytes: number;
  tensors: number;
}

const TORCH_EXTENSIONS = ['.pt', '.pth', '.bin'];

/**
 * Rewrites a checkpoint in the format that the output's extension names: .safetensors, or torch.save's
 * zip for .pt, .pth and .bin. An adapter written for torch has the published layout
 * {epoch, text_adapter, image_adapter}; metadata travels along in both directions.
 *
 * @throws AcdClipError as readCheckpoint, writeSafetensors and writeTorch
 */
export async function convertCheckpoint(
  input: string,
  output: string,
  options: ConvertOptions = {},
): Promise<ConvertResult> {
  checkOptions('convertCheckpoint', options, ['overwrite', 'dtype', 'signal']);
  const dtype = checkOneOf('dtype', options.dtype ?? 'keep', ['keep', 'f32', 'f16', 'bf16']);
  const write = checkWriteOptions(options);
  const extension = path.extname(checkString('output', output)).toLowerCase();
  const torch = TORCH_EXTENSIONS.includes(extension);
  if (!torch && extension !== '.safetensors') {
    throw invalid('output', 'file name that ends in .safetensors, .pt, .pth or .bin', output);
  }
  const checkpoint = await readCheckpoint(input, write.signal ? { signal: write.signal } : {});
  const tensors = [...checkpoint.tensors.keys()].map((name) => writable(checkpoint, name, dtype));
  const bytes = torch
    ? await writeTorch(output, torchLayout(tensors, checkpoint.metadata), write)
    : await writeSafetensors(output, tensors, textMetadata(checkpoint.metadata), write);
  return { path: path.resolve(output), bytes, tensors: tensors.length };
}

function checkWriteOptions(options: ConvertOptions): WriteOptions {
  return {
    overwrite: checkBoolean('overwrite', options.overwrite ?? false),
    ...(options.signal === undefined ? {} : { signal: checkSignal('signal', options.signal) }),
  };
}

/** A tensor of a checkpoint, ready to be written. */
export function writable(
  checkpoint: Checkpoint,
  name: string,
  dtype: 'keep' | 'f32' | 'f16' | 'bf16' = 'keep',
): WritableTensor {
  const tensor = checkpoint.tensors.get(name);
  if (tensor === undefined) {
    throw new AcdClipError('ERR_ACD_INTERNAL', `No tensor ${name} in ${checkpoint.path}`);
  }
  const target = dtype === 'keep' || !isFloatDtype(tensor.dtype) ? tensor.dtype : dtype;
  return {
    name,
    dtype: target,
    shape: tensor.shape,
    data: {
      path: checkpoint.files[tensor.file]!.path,
      offset: tensor.offset,
      ...(tensor.strides === undefined ? {} : { strides: tensor.strides }),
      ...(target === tensor.dtype ? {} : { storedAs: tensor.dtype }),
    },
  };
}

function textMetadata(metadata: ReadonlyMap<string, MetadataValue>): Map<string, string> {
  // "format" tells transformers which framework wrote the tensors.
  const text = new Map([['format', 'pt']]);
  for (const [key, value] of metadata) text.set(key, String(value));
  return text;
}

/** The dictionary that Python users expect for these tensors. */
function torchLayout(
  tensors: readonly WritableTensor[],
  metadata: ReadonlyMap<string, MetadataValue>,
): Map<string, TorchValue> {
  const scalars = [...metadata].filter(([key]) => key !== 'format');
  const halves = ['text_adapter', 'image_adapter'];
  const isAdapter = tensors.every((t) => halves.some((half) => t.name.startsWith(`${half}.`)));
  const plain = new Map<string, TorchValue>(tensors.map((t) => [t.name, t]));
  if (!isAdapter && scalars.length === 0) return plain;
  const layout = new Map<string, TorchValue>();
  for (const [key, value] of scalars) layout.set(key, key === 'epoch' ? asNumber(value) : value);
  if (!isAdapter) return layout.set('state_dict', plain);
  for (const half of halves) {
    const members = tensors.filter((t) => t.name.startsWith(`${half}.`));
    layout.set(half, new Map(members.map((t) => [t.name.slice(half.length + 1), t])));
  }
  return layout;
}

/** safetensors metadata is text; the epoch is a number in the published layout. */
function asNumber(value: MetadataValue): MetadataValue {
  return typeof value === 'string' && /^\d{1,15}$/.test(value) ? Number(value) : value;
}
