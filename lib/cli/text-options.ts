// Options that say what the pictures show, the same for detect and calibrate.
import { readFile } from 'node:fs/promises';
import { type Command, Option } from 'commander';
import { AcdClipError } from '../errors';
import type { DetectOptions } from '../model/types';
import {
  checkPrompts,
  classesOf,
  type Nouns,
  nounFor,
  type Prompts,
  publishedNoun,
  readNouns,
} from '../text';
import { nearest } from '../validate';
import { type Io, note } from './io';

export interface TextOptions {
  class?: string;
  prompts?: string;
  nouns?: string;
  dataset?: string;
  domain?: 'industrial' | 'medical';
  autoOrient?: boolean;
}

/** What the options mean for detect() and calibrate(). */
export type TextSettings = Pick<
  DetectOptions,
  'className' | 'prompts' | 'nouns' | 'dataset' | 'domain' | 'autoOrient'
>;

export function addTextOptions(command: Command): Command {
  return command
    .optionsGroup('What the pictures show:')
    .option('--class <name>', 'what they show, for example "metal nut"')
    .option('--prompts <file>', 'own sentences: JSON {"normal": [...], "abnormal": [...]}')
    .option('--nouns <file>', 'own nouns of classes: JSON {"class": "noun"}')
    .option('--dataset <name>', "use that dataset's published nouns and domain, like MVTec")
    .addOption(
      new Option('--domain <name>', 'weights and smoothing').choices(['industrial', 'medical']),
    )
    .option('--auto-orient', 'turn pictures as their EXIF orientation says');
}

export async function readTextOptions(o: TextOptions, io: Io): Promise<TextSettings> {
  const nouns = o.nouns === undefined ? undefined : await readNouns(o.nouns);
  warnOfMissingNoun(o, nouns, io);
  return {
    ...(o.class !== undefined && { className: o.class }),
    ...(o.prompts !== undefined && { prompts: await readPrompts(o.prompts) }),
    ...(nouns !== undefined && { nouns }),
    ...(o.dataset !== undefined && { dataset: o.dataset }),
    ...(o.domain !== undefined && { domain: o.domain }),
    ...(o.autoOrient !== undefined && { autoOrient: o.autoOrient }),
  };
}

/** A class without a noun is called by its name, which is often a slip of whoever typed it. */
function warnOfMissingNoun(o: TextOptions, nouns: Nouns | undefined, io: Io): void {
  const { class: className, dataset } = o;
  if (className === undefined || dataset === undefined) return;
  if (nouns && Object.hasOwn(nouns, className)) return;
  if (publishedNoun(className, dataset) !== undefined) return;
  const classes = classesOf(dataset);
  const near = classes.includes(className) ? undefined : nearest(className, classes);
  const meant = near === undefined ? '' : ` (did you mean "${near}"?)`;
  note(
    io,
    `acd-clip: warning: ${dataset} has no noun for the class "${className}"${meant}: prompts will say "${nounFor(className)}"; --nouns gives it another`,
  );
}

async function readPrompts(file: string): Promise<Prompts> {
  const text = await readFile(file, 'utf8').catch((cause: NodeJS.ErrnoException) => {
    const absent = cause.code === 'ENOENT';
    throw new AcdClipError(
      absent ? 'ERR_ACD_FILE_NOT_FOUND' : 'ERR_ACD_FILE_READ',
      `Cannot read the prompts ${file}: ${absent ? 'no such file' : cause.message}`,
      { cause },
    );
  });
  try {
    return checkPrompts(JSON.parse(text));
  } catch (cause) {
    throw new AcdClipError(
      'ERR_ACD_INVALID_ARG',
      `Cannot use the prompts ${file}: ${(cause as Error).message}`,
      { cause, help: 'The file holds {"normal": ["a nut."], "abnormal": ["a damaged nut."]}.' },
    );
  }
}
