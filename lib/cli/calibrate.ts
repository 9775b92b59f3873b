// acd-clip calibrate
import type { Command } from 'commander';
import type { AcdClip } from '../acd-clip';
import { writeAtomically } from '../checkpoint/atomic-file';
import { AcdClipError } from '../errors';
import type { Profile } from '../model/profile';
import { UsageError } from './exit';
import { expandInputs } from './inputs';
import { type Io, note, write } from './io';
import { addModelOptions, loadModel, type ModelOptions } from './model-options';
import { number } from './parsers';
import type { Input } from './picture';
import { progressOn } from './progress';
import {
  addTextOptions,
  readTextOptions,
  type TextOptions,
  type TextSettings,
} from './text-options';

interface CalibrateFlags extends ModelOptions, TextOptions {
  fpr: number;
  out?: string;
  overwrite?: boolean;
}

export function addCalibrate(program: Command, io: Io): void {
  const command = program
    .command('calibrate')
    .summary('find thresholds from pictures of good parts')
    .description(
      'Finds the thresholds that flag at most a fraction of these good pictures, and writes them as a profile for detect --profile. One picture that cannot be read fails the whole calibration.',
    )
    .argument('<inputs...>', 'pictures, folders, globs, or - for NDJSON on stdin');
  addTextOptions(command);
  command
    .optionsGroup('Profile:')
    .option('--fpr <fraction>', 'good pictures that may be flagged', number(0, 0.5), 0.01)
    .option('--out <file>', 'write the profile there instead of to stdout')
    .option('--overwrite', 'replace an existing file');
  addModelOptions(command);
  command
    .optionsGroup('Other:')
    .option('-q, --quiet', 'no progress on stderr')
    .action((inputs: string[], flags: CalibrateFlags) => calibrate(inputs, flags, io));
}

async function calibrate(args: string[], flags: CalibrateFlags, io: Io): Promise<void> {
  if (flags.class === undefined && flags.prompts === undefined) {
    throw new UsageError(
      'Expected --class or --prompts for calibrate but received neither',
      'Say what the pictures show, for example --class "metal nut".',
    );
  }
  const text = await readTextOptions(flags, io);
  const { inputs, known } = await expandInputs(args, io);
  const model = await loadModel(flags, io);
  try {
    const profile = await profileFrom(model, inputs, known?.length, text, flags, io);
    await writeProfile(profile, flags, io);
    if (!flags.quiet) note(io, summaryOf(profile));
  } finally {
    await model.dispose();
  }
}

async function profileFrom(
  model: AcdClip,
  inputs: AsyncIterable<Input>,
  total: number | undefined,
  text: TextSettings,
  flags: CalibrateFlags,
  io: Io,
): Promise<Profile> {
  const paths: string[] = [];
  const progress = progressOn(io, 'Calibrating', { quiet: flags.quiet ?? false });
  try {
    return await model.calibrate(pathsOf(inputs, paths), {
      ...text,
      fpr: flags.fpr,
      signal: io.signal,
      onProgress: ({ done }) => progress.update(done, total),
    });
  } catch (error) {
    throw naming(error, paths);
  } finally {
    progress.stop();
  }
}

async function* pathsOf(inputs: AsyncIterable<Input>, paths: string[]): AsyncGenerator<string> {
  for await (const input of inputs) {
    if ('error' in input) throw renamed(input.error, `${input.path}: ${input.error.message}`);
    if (input.className !== undefined) {
      throw new UsageError(
        `Expected pictures of one class but ${input.path} has its own`,
        'Calibrate every class by itself, with --class.',
      );
    }
    paths.push(input.path);
    yield input.path;
  }
}

/** The API counts pictures; the user knows them by name. */
function naming(error: unknown, paths: readonly string[]): unknown {
  if (!(error instanceof AcdClipError)) return error;
  const message = error.message.replace(
    /\bimages\[(\d+)\]/,
    (place, i) => paths[Number(i)] ?? place,
  );
  return renamed(error, message);
}

function renamed(error: AcdClipError, message: string): AcdClipError {
  const { code, help } = error;
  return new AcdClipError(code, message, { cause: error, ...(help !== undefined && { help }) });
}

async function writeProfile(profile: Profile, flags: CalibrateFlags, io: Io): Promise<void> {
  const text = `${JSON.stringify(profile, null, 2)}\n`;
  if (flags.out === undefined) return write(io.stdout, text);
  const overwrite = flags.overwrite ?? false;
  await writeAtomically(flags.out, { overwrite, signal: io.signal }, (append) =>
    append(Buffer.from(text)),
  );
}

function summaryOf({ threshold, mapThreshold, images, fpr }: Profile): string {
  const rests =
    Math.floor(fpr * images) === 0
      ? `just above the highest of ${images} pictures, too few for a rate of ${fpr}`
      : `at most ${Math.floor(fpr * images)} of ${images} pictures flagged`;
  return `Threshold ${threshold.toFixed(4)}, map ${mapThreshold.toFixed(4)}: ${rests}`;
}
