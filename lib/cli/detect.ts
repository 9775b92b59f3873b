// acd-clip detect
import type { Command } from 'commander';
import type { AcdClip } from '../acd-clip';
import { AcdClipError, type AcdClipErrorCode } from '../errors';
import { inOrder } from '../in-order';
import type { Detection, DetectOptions } from '../model/types';
import {
  addDetectOptions,
  type DetectFlags,
  type DetectSettings,
  readDetectOptions,
} from './detect-options';
import { EXIT } from './exit';
import { expandInputs } from './inputs';
import { type Io, note } from './io';
import { loadModel } from './model-options';
import { formatter, type Row } from './output';
import type { Input, Picture } from './picture';
import { writePicture } from './picture-files';
import { type Progress, progressOn } from './progress';
import { openSink, type Sink } from './sink';

/** Pictures in work at once: some are decoded and drawn while one is computed. */
const IN_FLIGHT = 4;

/** Failures of one picture; any other would meet every picture and ends the run. */
const PICTURE_CODES: readonly AcdClipErrorCode[] = [
  'ERR_ACD_FILE_NOT_FOUND',
  'ERR_ACD_FILE_READ',
  'ERR_ACD_IMAGE_FORMAT',
  'ERR_ACD_IMAGE_LIMIT',
  'ERR_ACD_NON_FINITE',
  'ERR_ACD_OUT_OF_MEMORY',
  'ERR_ACD_UNSUPPORTED',
];
/** The same for a picture that brings its own class. */
const CLASS_CODES: readonly AcdClipErrorCode[] = ['ERR_ACD_PROMPT_TOO_LONG', 'ERR_ACD_INVALID_ARG'];

interface Job {
  model: AcdClip;
  settings: DetectSettings;
  flags: DetectFlags;
  signal: AbortSignal;
}

interface Tally {
  pictures: number;
  /** Pictures that were held against a threshold. */
  judged: number;
  anomalous: number;
  failed: number;
}

export function addDetect(program: Command, io: Io, exit: (code: number) => void): void {
  const command = program
    .command('detect')
    .summary('score pictures')
    .description(
      'Scores pictures: 0 is as expected, 1 is anomalous. Folders are searched with their subfolders. "-" reads lines of JSON from stdin: {"path": "nut.jpg", "class": "metal nut", "id": 7}. A picture that fails is told on stderr and has a row of its own; the exit code is then 1.',
    )
    .argument('[inputs...]', 'pictures, folders, globs, or - for NDJSON on stdin');
  addDetectOptions(command);
  command
    .optionsGroup('Other:')
    .option('-q, --quiet', 'no progress and no summary on stderr')
    .action(async (inputs: string[], flags: DetectFlags) => exit(await detect(inputs, flags, io)));
}

async function detect(args: string[], flags: DetectFlags, io: Io): Promise<number> {
  const settings = await readDetectOptions(flags, args, io);
  const { inputs, known } = await expandInputs(args, io);
  const model = await loadModel(flags, io);
  const stop = new AbortController();
  try {
    const sink = await openSink(settings.out, flags.overwrite ?? false, io);
    const signal = AbortSignal.any([io.signal, stop.signal]);
    const job = { model, settings, flags, signal };
    const tally = await examineAll(inputs, known, job, sink, io).finally(() => sink.close());
    if (tally.failed > 0) return EXIT.error;
    return flags.failOnAnomaly && tally.anomalous > 0 ? EXIT.anomalous : EXIT.ok;
  } finally {
    stop.abort();
    // A sender that is still connected would keep the process alive.
    if (args.includes('-')) io.stdin.destroy();
    await model.dispose();
  }
}

async function examineAll(
  inputs: AsyncIterable<Input>,
  known: readonly string[] | undefined,
  job: Job,
  sink: Sink,
  io: Io,
): Promise<Tally> {
  const { flags, settings } = job;
  const start = performance.now();
  const tally: Tally = { pictures: 0, judged: 0, anomalous: 0, failed: 0 };
  const text = formatter(settings.format, known ?? []);
  // Rows that appear on the same terminal are progress enough.
  const quiet = (flags.quiet ?? false) || (sink.isStdout && io.stdout.isTTY === true);
  const progress = progressOn(io, 'Scoring', { quiet });
  try {
    for await (const row of inOrder(inputs, IN_FLIGHT, (input) => examine(input, job))) {
      await sink.write((tally.pictures === 0 ? text.start() : '') + text.row(row));
      count(row, tally, progress);
      progress.update(tally.pictures, known?.length);
      if (row.error !== undefined && !flags.continueOnError) break;
    }
    await sink.write((tally.pictures === 0 ? text.start() : '') + text.end());
  } finally {
    progress.stop();
  }
  if (!flags.quiet) note(io, summaryOf(tally, performance.now() - start));
  return tally;
}

function count(row: Row, tally: Tally, progress: Progress): void {
  tally.pictures++;
  if (row.isAnomalous !== undefined) tally.judged++;
  if (row.isAnomalous) tally.anomalous++;
  if (row.error === undefined) return;
  tally.failed++;
  progress.say(`acd-clip: ${row.path}: ${row.error.message}`);
  if (row.error.help !== undefined) progress.say(row.error.help);
}

function summaryOf({ pictures, judged, anomalous, failed }: Tally, ms: number): string {
  return [
    `${pictures} ${pictures === 1 ? 'picture' : 'pictures'}`,
    ...(judged > 0 ? [`${anomalous} anomalous`] : []),
    `${failed} failed`,
    `${(ms / 1000).toFixed(1)} s`,
  ].join(', ');
}

async function examine(input: Input, job: Job): Promise<Row> {
  if ('error' in input) return withError({ path: input.path }, input.error);
  const { options, overlay, heatmap } = job.settings;
  const row = rowFor(input, options);
  // Before anything is awaited: names are given in the order of the inputs.
  const files = { overlay: overlay?.files.nameFor(input), heatmap: heatmap?.files.nameFor(input) };
  try {
    const found = await job.model.detect(input.path, optionsFor(input, job));
    const { map: _map, ...result } = found;
    Object.assign(row, result);
    await draw(input, found, files, row, job);
    return row;
  } catch (error) {
    if (error instanceof AcdClipError && concernsPicture(error, input, row)) {
      return withError(row, error);
    }
    throw error;
  }
}

function rowFor({ path, id, className }: Picture, options: DetectOptions): Row {
  const shown = className ?? options.className;
  return { path, ...(id !== undefined && { id }), ...(shown !== undefined && { class: shown }) };
}

function withError(row: Row, { code, message, help }: AcdClipError): Row {
  return { ...row, error: { code, message, ...(help !== undefined && { help }) } };
}

/** Once there is a score, all that can fail is the drawing of this picture. */
function concernsPicture(error: AcdClipError, picture: Picture, row: Row): boolean {
  if (row.score !== undefined || PICTURE_CODES.includes(error.code)) return true;
  const ownClass = picture.className !== undefined || error instanceof NoClassError;
  return ownClass && CLASS_CODES.includes(error.code);
}

class NoClassError extends AcdClipError {
  constructor() {
    super('ERR_ACD_INVALID_ARG', 'Expected a class for this picture but received none', {
      help: 'Give its line {"path": ..., "class": ...}, or pass --class for all.',
    });
  }
}

function optionsFor(picture: Picture, { settings, signal }: Job): DetectOptions {
  const { prompts, ...others } = settings.options;
  const { className } = picture;
  if (className !== undefined) return { ...others, className, signal };
  if (others.className === undefined && !prompts && !others.profile) throw new NoClassError();
  return { ...settings.options, signal };
}

async function draw(
  picture: Picture,
  found: Detection,
  files: { overlay: string | undefined; heatmap: string | undefined },
  row: Row,
  job: Job,
): Promise<void> {
  const { settings, flags, signal } = job;
  const how = { overwrite: flags.overwrite ?? false, signal };
  if (files.overlay !== undefined) {
    const regions = found.regions?.map((r) => r.box) ?? [];
    const options = { ...settings.overlay?.options, regions, signal };
    await writePicture(files.overlay, await found.map!.overlay(picture.path, options), how);
    row.overlay = files.overlay;
  }
  if (files.heatmap !== undefined) {
    const options = { ...settings.heatmap?.options, signal };
    await writePicture(files.heatmap, await found.map!.toPng(options), how);
    row.heatmap = files.heatmap;
  }
}
