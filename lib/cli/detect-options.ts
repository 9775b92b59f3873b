// The options of detect, and what they come to.
import { stat } from 'node:fs/promises';
import * as path from 'node:path';
import { type Command, Option } from 'commander';
import { COLORMAPS, type Colormap, type HeatmapOptions, type OverlayOptions } from '../image';
import { type Profile, readProfile } from '../model/profile';
import type { DetectOptions } from '../model/types';
import { UsageError } from './exit';
import type { Io } from './io';
import { addModelOptions, type ModelOptions } from './model-options';
import { FORMATS, type Format } from './output';
import { integer, number, optionalNumber } from './parsers';
import { HEATMAP, OVERLAY, PictureFiles } from './picture-files';
import { addTextOptions, readTextOptions, type TextOptions } from './text-options';

export interface DetectFlags extends ModelOptions, TextOptions {
  threshold?: number;
  profile?: string;
  regions?: true | number;
  minArea?: number;
  failOnAnomaly?: boolean;
  continueOnError: boolean;
  overlay?: true | string;
  heatmap?: true | string;
  map?: 'none' | 'model' | 'image';
  contour?: true | number;
  colormap?: Colormap;
  legend?: boolean;
  format?: Format;
  out?: string;
  overwrite?: boolean;
}

/** Flags, checked against each other and with their files read. */
export interface DetectSettings {
  /** Of every picture that brings no class of its own. */
  options: DetectOptions;
  overlay?: { files: PictureFiles; options: OverlayOptions };
  heatmap?: { files: PictureFiles; options: HeatmapOptions };
  format: Format;
  /** Undefined: stdout. */
  out: string | undefined;
}

export function addDetectOptions(command: Command): Command {
  addTextOptions(command);
  command
    .optionsGroup('Decision:')
    .option('--profile <file>', 'thresholds and prompts from calibrate')
    .option('--threshold <score>', 'scores at or above it are anomalous', number(0, 1))
    .option(
      '--regions [threshold]',
      "find regions of the map at or above it (default: the profile's)",
      optionalNumber(0, 1),
    )
    .option('--min-area <pixels>', 'smallest region', integer(1, Number.MAX_SAFE_INTEGER))
    .option('--fail-on-anomaly', 'exit with 3 when a picture is anomalous')
    .option('--continue-on-error', 'go on after a picture that fails; exit with 1', true)
    .option('--no-continue-on-error', 'stop at the first picture that fails');
  addDrawingOptions(command);
  command
    .optionsGroup('Results:')
    .addOption(
      new Option('--format <name>', "default: table, or as --out's name ends").choices(FORMATS),
    )
    .option(
      '--out <path>',
      'write results there; in a folder: results.json, .csv, ... and pictures',
    )
    .option(
      '--overwrite',
      'replace existing files; overlays of earlier runs are replaced without it',
    );
  return addModelOptions(command);
}

function addDrawingOptions(command: Command): void {
  command
    .optionsGroup('Pictures:')
    .option(
      '--overlay [folder]',
      `draw the map over the picture: NAME${OVERLAY}, beside it or there`,
    )
    .option('--heatmap [folder]', `draw the map alone: NAME${HEATMAP}`)
    .addOption(
      new Option('--map <size>', 'draw from a map of this size').choices([
        'none',
        'model',
        'image',
      ]),
    )
    .option(
      '--contour [threshold]',
      'draw a line where the map crosses it (default: that of --regions)',
      optionalNumber(0, 1),
    )
    .addOption(new Option('--colormap <name>', 'default: inferno').choices(COLORMAPS))
    .option('--legend', 'draw a scale bar into overlays');
}

export async function readDetectOptions(
  flags: DetectFlags,
  inputs: readonly string[],
  io: Io,
): Promise<DetectSettings> {
  checkCombination(flags, inputs);
  await checkFolders(flags);
  const profile = flags.profile === undefined ? undefined : await readProfile(flags.profile);
  const mapThreshold = typeof flags.regions === 'number' ? flags.regions : profile?.mapThreshold;
  const { file, folder, format } = await destination(flags);
  const draws = flags.overlay !== undefined || flags.heatmap !== undefined;
  const target = (flag: true | string, suffix: string) =>
    new PictureFiles(flag === true ? folder : flag, suffix);
  return {
    options: {
      ...(await readTextOptions(flags, io)),
      ...(profile !== undefined && { profile }),
      ...(flags.threshold !== undefined && { threshold: flags.threshold }),
      map: flags.map ?? (draws ? mapSize(flags) : 'none'),
      ...regionOptions(flags, profile),
    },
    ...(flags.overlay !== undefined && {
      overlay: {
        files: target(flags.overlay, OVERLAY),
        options: overlayOptions(flags, mapThreshold),
      },
    }),
    ...(flags.heatmap !== undefined && {
      heatmap: {
        files: target(flags.heatmap, HEATMAP),
        options: flags.colormap === undefined ? {} : { colormap: flags.colormap },
      },
    }),
    format,
    out: file,
  };
}

/** An overlay is enlarged as it is drawn; a heat-map has the size of its map. */
function mapSize(flags: DetectFlags): 'model' | 'image' {
  return flags.heatmap === undefined ? 'model' : 'image';
}

function regionOptions(
  flags: DetectFlags,
  profile: Profile | undefined,
): Pick<DetectOptions, 'regions'> {
  if (flags.regions === undefined) return {};
  if (flags.regions === true && profile === undefined) {
    throw new UsageError(
      'Expected a threshold for --regions, or --profile, but received neither',
      'No threshold fits every object: calibrate one on good pictures, or pass --regions 0.5.',
    );
  }
  return {
    regions: {
      ...(flags.regions !== true && { threshold: flags.regions }),
      ...(flags.minArea !== undefined && { minArea: flags.minArea }),
    },
  };
}

function overlayOptions(flags: DetectFlags, mapThreshold: number | undefined): OverlayOptions {
  const contour = flags.contour === true ? mapThreshold : flags.contour;
  if (flags.contour !== undefined && contour === undefined) {
    throw new UsageError(
      'Expected a threshold for --contour, --regions or a profile but received none',
      'Pass one, for example --contour 0.5.',
    );
  }
  return {
    ...(contour !== undefined && { contour }),
    ...(flags.colormap !== undefined && { colormap: flags.colormap }),
    ...(flags.legend !== undefined && { legend: flags.legend }),
  };
}

function checkCombination(flags: DetectFlags, inputs: readonly string[]): void {
  const needs = (flag: keyof DetectFlags, others: (keyof DetectFlags)[]) => {
    if (flags[flag] === undefined || others.some((other) => flags[other] !== undefined)) return;
    throw new UsageError(`Expected ${others.map(spell).join(' or ')} beside ${spell(flag)}`);
  };
  needs('failOnAnomaly', ['threshold', 'profile']);
  needs('minArea', ['regions']);
  needs('contour', ['overlay']);
  needs('legend', ['overlay']);
  needs('colormap', ['overlay', 'heatmap']);
  if (flags.map === 'none' && (flags.overlay !== undefined || flags.heatmap !== undefined)) {
    throw new UsageError('Expected --map model or image for drawing but received none');
  }
  if (inputs.length === 0) throw noPictures(flags);
  const known = [flags.class, flags.prompts, flags.profile].some((v) => v !== undefined);
  // Lines on stdin may each have a class.
  if (known || inputs.every((input) => input === '-')) return;
  throw new UsageError(
    'Expected --class, --prompts or --profile for detect but received none',
    'Say what the pictures show, for example --class "metal nut".',
  );
}

function noPictures(flags: DetectFlags): UsageError {
  const eaten = [flags.overlay, flags.heatmap].find((v) => typeof v === 'string');
  return new UsageError(
    'Expected pictures, folders, globs or - but received none',
    eaten === undefined
      ? 'For example: acd-clip detect nut.jpg --class "metal nut".'
      : `${JSON.stringify(eaten)} was taken as the folder to draw into: put pictures before the options.`,
  );
}

function spell(flag: string): string {
  return `--${flag.replace(/[A-Z]/g, (c) => `-${c.toLowerCase()}`)}`;
}

/** "--overlay nut.jpg" takes a picture for its folder; making a folder of that name would fail late. */
async function checkFolders(flags: DetectFlags): Promise<void> {
  for (const flag of ['overlay', 'heatmap'] as const) {
    const folder = flags[flag];
    if (typeof folder !== 'string') continue;
    if ((await stat(folder).catch(() => undefined))?.isFile()) {
      throw new UsageError(
        `Expected a folder for --${flag} but ${folder} is a file`,
        'If that is a picture: put pictures before the options.',
      );
    }
  }
}

const ENDINGS: Readonly<Record<Format, string>> = {
  table: '.txt',
  json: '.json',
  ndjson: '.ndjson',
  csv: '.csv',
};

async function destination(
  flags: DetectFlags,
): Promise<{ file: string | undefined; folder: string | undefined; format: Format }> {
  const { out, format } = flags;
  if (out === undefined) return { file: undefined, folder: undefined, format: format ?? 'table' };
  const isFolder =
    /[/\\]$/.test(out) || ((await stat(out).catch(() => undefined))?.isDirectory() ?? false);
  if (isFolder) {
    const chosen = format ?? 'json';
    return { file: path.join(out, `results${ENDINGS[chosen]}`), folder: out, format: chosen };
  }
  const ending = path.extname(out).toLowerCase();
  const told = FORMATS.find((name) => ENDINGS[name] === ending);
  return { file: out, folder: undefined, format: format ?? told ?? 'table' };
}
