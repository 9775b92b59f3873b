// Generated sets of labelled pictures in the layout of MVTec AD.
import { mkdir, writeFile } from 'node:fs/promises';
import * as path from 'node:path';
import sharp from 'sharp';
import type { DatagenSample } from '../../typings/native';
import { fromNative, native } from '../binding';
import { AcdClipError } from '../errors';
import {
  checkBoolean,
  checkFunction,
  checkInteger,
  checkNumber,
  checkOptions,
  checkSignal,
  checkString,
  invalid,
  nearest,
  show,
} from '../validate';
import { claimFolder, finishFolder, writeProblem } from './folder';

export interface GenerateProgress {
  /** Pictures written, and how many there will be. */
  done: number;
  total: number;
}

export interface GenerateDatasetOptions {
  /** Pictures in the whole set, spread evenly over the classes. Default 200. */
  count?: number;
  /** Equal seeds and options give equal bytes on every machine. Default 0. */
  seed?: number;
  /** Side of the pictures in pixels, 32 to 1024. Default 256. */
  size?: number;
  /** Names of classes; default all of them. */
  classes?: readonly string[];
  /** Share of the pictures that show a defect, 0 to 1. Default 0.5. */
  abnormalRatio?: number;
  /** Replace what an earlier call wrote there; files of others are never touched. Default false. */
  overwrite?: boolean;
  signal?: AbortSignal;
  onProgress?: (progress: GenerateProgress) => void;
}

/** What was written. */
export interface GeneratedDataset {
  path: string;
  images: number;
  abnormal: number;
  classes: string[];
}

const KNOWN = [
  'count',
  'seed',
  'size',
  'classes',
  'abnormalRatio',
  'overwrite',
  'signal',
  'onProgress',
] as const;

interface Settings {
  count: number;
  seed: number;
  size: number;
  classes: readonly GeneratedClass[];
  abnormalRatio: number;
  overwrite: boolean;
  signal: AbortSignal | undefined;
  onProgress: ((progress: GenerateProgress) => void) | undefined;
}

interface GeneratedClass {
  id: number;
  name: string;
  noun: string;
}

interface Plan {
  class: GeneratedClass;
  /** Of this class; it decides the pixels. */
  index: number;
  abnormal: boolean;
  folder: 'train' | 'test';
}

interface Line {
  image_path: string;
  label: 0 | 1;
  class_name: string;
  mask_path?: string;
}

/**
 * Writes a set of generated pictures with exact masks: OUT/CLASS/train/good, OUT/CLASS/test/good,
 * OUT/CLASS/test/DEFECT and OUT/CLASS/ground_truth/DEFECT, beside OUT/nouns.json ({class: noun} for
 * prompts) and OUT/manifest.jsonl (one line a picture: image_path, label, class_name, mask_path).
 * Half of the good pictures of a class are for training. Pictures of one class look alike, as parts
 * from one line do.
 *
 * @throws AcdClipError ERR_ACD_INVALID_ARG when `out` holds anything that this function did not
 *   write, or did without `overwrite`; ERR_ACD_FILE_READ when writing fails
 */
export async function generateDataset(
  out: string,
  options: GenerateDatasetOptions = {},
): Promise<GeneratedDataset> {
  const root = path.resolve(checkString('out', out));
  const settings = readSettings(options);
  settings.signal?.throwIfAborted();
  const plans = planOf(settings);
  await claimFolder(root, settings.overwrite);
  const lines: Line[] = [];
  const names = new Map<string, number>();
  for (const plan of plans) {
    settings.signal?.throwIfAborted();
    const sample = await draw(plan, settings);
    lines.push(await writeSample(root, plan, sample, settings.size, names));
    settings.onProgress?.({ done: lines.length, total: plans.length });
  }
  await finishFolder(root, lines, nounsOf(settings.classes));
  return {
    path: root,
    images: lines.length,
    abnormal: lines.filter(({ label }) => label === 1).length,
    classes: settings.classes.map(({ name }) => name),
  };
}

function readSettings(options: GenerateDatasetOptions): Settings {
  checkOptions('datasets.generate', options, KNOWN);
  const { count = 200, seed = 0, size = 256, abnormalRatio = 0.5, overwrite = false } = options;
  if (options.onProgress !== undefined) checkFunction('onProgress', options.onProgress);
  return {
    count: checkInteger('count', count, 1, 10_000_000),
    seed: checkInteger('seed', seed, 0, Number.MAX_SAFE_INTEGER),
    size: checkInteger('size', size, 32, 1024),
    abnormalRatio: checkNumber('abnormalRatio', abnormalRatio, 0, 1),
    overwrite: checkBoolean('overwrite', overwrite),
    classes: readClasses(options.classes),
    signal: options.signal === undefined ? undefined : checkSignal('signal', options.signal),
    onProgress: options.onProgress,
  };
}

function readClasses(wanted: unknown): GeneratedClass[] {
  const all = native()
    .datagen.classes()
    .map(({ name, noun }, id) => ({ id, name, noun }));
  if (wanted === undefined) return all;
  if (!Array.isArray(wanted) || wanted.length === 0) {
    throw invalid('classes', 'non-empty array of class names', wanted);
  }
  return [...new Set(wanted)].map((name) => {
    const found = all.find((c) => c.name === name);
    if (found) return found;
    const names = all.map((c) => c.name);
    const near = typeof name === 'string' ? nearest(name, names) : undefined;
    throw new AcdClipError(
      'ERR_ACD_INVALID_ARG',
      `Expected class names for classes but received ${show(name)}${near ? `; did you mean "${near}"?` : ''}`,
      { help: `Classes: ${names.join(', ')}.` },
    );
  });
}

/** Class by class; within one, good and bad alternate as evenly as the ratio allows. */
function planOf({ count, classes, abnormalRatio }: Settings): Plan[] {
  const plans: Plan[] = [];
  classes.forEach((c, k) => {
    const share = Math.floor(count / classes.length) + (k < count % classes.length ? 1 : 0);
    let good = 0;
    for (let index = 0; index < share; index++) {
      const abnormal = Math.floor((index + 1) * abnormalRatio) > Math.floor(index * abnormalRatio);
      const folder = !abnormal && good++ % 2 === 0 ? 'train' : 'test';
      plans.push({ class: c, index, abnormal, folder });
    }
  });
  return plans;
}

async function draw(plan: Plan, { seed, size }: Settings): Promise<DatagenSample> {
  const { datagen } = native();
  // Kinds of defect take turns, so that a small set has many.
  const kinds = datagen.defects().length;
  const defect = plan.abnormal ? (plan.index * 7 + plan.class.id * 3) % kinds : -2;
  const request = { seed, size, defect, classId: plan.class.id, index: plan.index };
  try {
    return await datagen.sample({ ...request, sharedDesign: true });
  } catch (error) {
    throw fromNative(error);
  }
}

async function writeSample(
  root: string,
  plan: Plan,
  sample: DatagenSample,
  size: number,
  names: Map<string, number>,
): Promise<Line> {
  const kind = sample.label === 1 ? native().datagen.defects()[sample.defect]! : 'good';
  const folder = `${plan.class.name}/${plan.folder}/${kind}`;
  const number = names.get(folder) ?? 0;
  names.set(folder, number + 1);
  const name = String(number).padStart(3, '0');
  const line: Line = {
    image_path: `${folder}/${name}.png`,
    label: sample.label,
    class_name: plan.class.name,
  };
  await writePng(path.join(root, line.image_path), sample.pixels, size, 3);
  if (sample.label === 1) {
    line.mask_path = `${plan.class.name}/ground_truth/${kind}/${name}_mask.png`;
    await writePng(path.join(root, line.mask_path), sample.mask, size, 1);
  }
  return line;
}

async function writePng(file: string, data: Uint8Array, size: number, channels: 1 | 3) {
  const raw = { width: size, height: size, channels };
  const picture = sharp(data, { raw });
  // A mask would otherwise become a picture of three channels.
  const png = await (channels === 1 ? picture.toColourspace('b-w') : picture).png().toBuffer();
  try {
    await mkdir(path.dirname(file), { recursive: true });
    await writeFile(file, png);
  } catch (error) {
    throw writeProblem(file, error);
  }
}

function nounsOf(classes: readonly GeneratedClass[]): Record<string, string> {
  return Object.fromEntries(classes.map(({ name, noun }) => [name, noun]));
}
