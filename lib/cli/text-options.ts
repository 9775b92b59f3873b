// Options that say what the pictures show, the same for detect and calibrate.
import { readFile } from 'node:fs/promises';
import { type Command, Option } from 'commander';
import { AcdClipError } from '../errors';
import type { DetectOptions } from '../model/types';
import { checkPrompts, type Prompts, readNouns } from '../text';

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

export async function readTextOptions(o: TextOptions): Promise<TextSettings> {
  return {
    ...(o.class !== undefined && { className: o.class }),
    ...(o.prompts !== undefined && { prompts: await readPrompts(o.prompts) }),
    ...(o.nouns !== undefined && { nouns: await readNouns(o.nouns) }),
    ...(o.dataset !== undefined && { dataset: o.dataset }),
    ...(o.domain !== undefined && { domain: o.domain }),
    ...(o.autoOrient !== undefined && { autoOrient: o.autoOrient }),
  };
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
