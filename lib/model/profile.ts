// A calibrated profile: plain JSON that API, command line and services share.
import { readFile } from 'node:fs/promises';
import { AcdClipError } from '../errors';
import { checkPrompts, type Domain, type Prompts } from '../text';
import {
  checkInteger,
  checkNumber,
  checkOneOf,
  checkString,
  invalid,
  isPlainObject,
} from '../validate';

export interface Profile {
  kind: 'acd-clip-profile';
  version: 1;
  prompts: Prompts;
  domain: Domain;
  /** Fraction of good pictures that may be flagged. */
  fpr: number;
  /** Image scores at or above it are anomalous. */
  threshold: number;
  /** Map values at or above it belong to regions. */
  mapThreshold: number;
  /** Good pictures that the thresholds rest on. */
  images: number;
  /** Quantiles of the good pictures, keyed '0', '0.25', ... '1'. */
  quantiles: { score: Record<string, number>; mapMax: Record<string, number> };
  /** Which model it was made with; another model's scores mean something else. */
  modelId: string;
}

const QUANTILES = [0, 0.25, 0.5, 0.75, 0.9, 0.95, 0.99, 1];
const MAX_PROFILE_BYTES = 4 * 1024 * 1024;

/** Thresholds that flag at most `fpr` of these good pictures. */
export function profileOf(
  good: readonly { score: number; mapMax: number }[],
  o: { prompts: Prompts; domain: Domain; fpr: number; modelId: string },
): Profile {
  const scores = good.map((g) => g.score).sort((a, b) => a - b);
  const maxima = good.map((g) => g.mapMax).sort((a, b) => a - b);
  return {
    kind: 'acd-clip-profile',
    version: 1,
    prompts: o.prompts,
    domain: o.domain,
    fpr: o.fpr,
    threshold: justAbove(scores, o.fpr),
    mapThreshold: justAbove(maxima, o.fpr),
    images: good.length,
    quantiles: { score: quantiles(scores), mapMax: quantiles(maxima) },
    modelId: o.modelId,
  };
}

// The smallest number above all but the floor(fpr * n) largest values. Map values are float32, so
// "above" is one float32 step, which a comparison in either precision sees.
function justAbove(sorted: readonly number[], fpr: number): number {
  const flagged = Math.floor(fpr * sorted.length);
  const highest = Math.fround(sorted[sorted.length - 1 - flagged]!);
  const bits = new Uint32Array(1);
  const float = new Float32Array(bits.buffer);
  float[0] = highest;
  bits[0] = bits[0]! + 1;
  return Math.min(1, float[0]);
}

function quantiles(sorted: readonly number[]): Record<string, number> {
  return Object.fromEntries(
    QUANTILES.map((q) => [String(q), sorted[Math.round(q * (sorted.length - 1))]!]),
  );
}

/** A profile as it came out of JSON, checked. Returns a copy. Throws ERR_ACD_INVALID_ARG. */
export function checkProfile(name: string, value: unknown): Profile {
  if (!isPlainObject(value) || value.kind !== 'acd-clip-profile') {
    throw invalid(name, 'profile from calibrate()', value);
  }
  checkInteger(`${name}.version`, value.version, 1, 1);
  const quantilesOf = (key: 'score' | 'mapMax') => {
    const all = isPlainObject(value.quantiles) ? value.quantiles[key] : undefined;
    if (!isPlainObject(all)) throw invalid(`${name}.quantiles.${key}`, 'object of numbers', all);
    return Object.fromEntries(
      Object.entries(all).map(([q, v]) => [q, checkNumber(`${name}.quantiles.${key}`, v, 0, 1)]),
    );
  };
  return {
    kind: 'acd-clip-profile',
    version: 1,
    prompts: checkPrompts(value.prompts),
    domain: checkOneOf(`${name}.domain`, value.domain, ['industrial', 'medical']),
    fpr: checkNumber(`${name}.fpr`, value.fpr, 0, 0.5),
    threshold: checkNumber(`${name}.threshold`, value.threshold, 0, 1),
    mapThreshold: checkNumber(`${name}.mapThreshold`, value.mapThreshold, 0, 1),
    images: checkInteger(`${name}.images`, value.images, 1, Number.MAX_SAFE_INTEGER),
    quantiles: { score: quantilesOf('score'), mapMax: quantilesOf('mapMax') },
    modelId: checkString(`${name}.modelId`, value.modelId),
  };
}

/** Reads a profile file. Throws ERR_ACD_FILE_NOT_FOUND, ERR_ACD_FILE_READ, ERR_ACD_INVALID_ARG. */
export async function readProfile(path: string): Promise<Profile> {
  checkString('path', path);
  let text: string;
  try {
    text = await readFile(path, 'utf8');
  } catch (cause) {
    const missing = (cause as NodeJS.ErrnoException).code === 'ENOENT';
    throw new AcdClipError(
      missing ? 'ERR_ACD_FILE_NOT_FOUND' : 'ERR_ACD_FILE_READ',
      `Cannot read the profile ${path}: ${missing ? 'no such file' : (cause as Error).message}`,
      { cause },
    );
  }
  try {
    if (text.length > MAX_PROFILE_BYTES)
      throw invalid('profile', 'file of at most 4 MiB', text.length);
    return checkProfile(`profile ${path}`, JSON.parse(text));
  } catch (cause) {
    if (cause instanceof AcdClipError) throw cause;
    throw new AcdClipError(
      'ERR_ACD_INVALID_ARG',
      `Expected JSON in the profile ${path}: ${(cause as Error).message}`,
      {
        cause,
        help: 'Make one with "acd-clip calibrate".',
      },
    );
  }
}
