// Values that no shape shows. Checkpoints of ours store them as metadata; published ones do not.
import type { AcdClipError } from '../errors';
import { checkBoolean, checkNumber } from '../validate';
import type { Checkpoint } from './checkpoint';
import { mismatch } from './failures';
import type { PlanOverrides } from './plan-overrides';

/** Metadata keys of safetensors files and .pth dictionaries that this package writes. */
export const METADATA_KEYS = {
  loraAlpha: 'acd.lora_alpha',
  convLoraAlpha: 'acd.conv_lora_alpha',
  textLoraAlpha: 'acd.text_lora_alpha',
  quickGelu: 'acd.quick_gelu',
  imageSize: 'acd.image_size',
  tokenEmbeddingSeed: 'acd.token_embedding_seed',
} as const;

export interface Hyperparameters {
  loraAlpha: number;
  convLoraAlpha: number;
  textLoraAlpha: number;
  quickGelu: boolean;
  /** Undefined when neither given nor stored. */
  imageSize: number | undefined;
}

const DEFAULT_ALPHA = 2;
const MAX_ALPHA = 1e6;

/** An option wins over what the checkpoint stores, and that over the published defaults. */
export function resolveHyperparameters(
  options: PlanOverrides,
  checkpoint: Checkpoint,
): Hyperparameters {
  const alpha = (key: 'loraAlpha' | 'convLoraAlpha' | 'textLoraAlpha') =>
    options[key] === undefined
      ? storedNumber(checkpoint, METADATA_KEYS[key], -MAX_ALPHA, MAX_ALPHA)
      : checkNumber(key, options[key], -MAX_ALPHA, MAX_ALPHA);
  const loraAlpha = alpha('loraAlpha') ?? DEFAULT_ALPHA;
  return {
    loraAlpha,
    convLoraAlpha: alpha('convLoraAlpha') ?? DEFAULT_ALPHA,
    // The published scripts have one flag for both towers.
    textLoraAlpha: alpha('textLoraAlpha') ?? loraAlpha,
    quickGelu:
      options.quickGelu === undefined
        ? storedBoolean(checkpoint, METADATA_KEYS.quickGelu)
        : checkBoolean('quickGelu', options.quickGelu),
    imageSize: options.imageSize ?? storedNumber(checkpoint, METADATA_KEYS.imageSize, 1, 65_536),
  };
}

function storedNumber(
  checkpoint: Checkpoint,
  key: string,
  min: number,
  max: number,
): number | undefined {
  const value = checkpoint.metadata.get(key);
  if (value === undefined) return undefined;
  const number = typeof value === 'string' && value.trim() !== '' ? Number(value) : value;
  if (typeof number === 'number' && number >= min && number <= max) return number;
  throw badValue(checkpoint, key, `a number between ${min} and ${max}`, value);
}

function storedBoolean(checkpoint: Checkpoint, key: string): boolean {
  const value = checkpoint.metadata.get(key) ?? false;
  if (typeof value === 'boolean') return value;
  if (value === 'true' || value === 'false') return value === 'true';
  throw badValue(checkpoint, key, 'true or false', value);
}

/** The uint32 that stands for the token embedding in checkpoints of ours that leave the table out. */
export function storedTokenEmbeddingSeed(checkpoint: Checkpoint): number | undefined {
  const key = METADATA_KEYS.tokenEmbeddingSeed;
  const value = checkpoint.metadata.get(key);
  if (value === undefined) return undefined;
  const seed = /^(0|[1-9]\d{0,9})$/.test(String(value)) ? Number(value) : Number.NaN;
  if (seed < 2 ** 32) return seed;
  throw badValue(checkpoint, key, 'an integer between 0 and 4294967295', value);
}

function badValue(
  checkpoint: Checkpoint,
  key: string,
  expected: string,
  got: unknown,
): AcdClipError {
  return mismatch(
    `Expected ${expected} for ${key} in ${checkpoint.path} but received ${JSON.stringify(got)}`,
  );
}
