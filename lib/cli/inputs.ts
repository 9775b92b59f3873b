// From arguments to pictures: files, folders, globs, and lines on stdin.
import { readdir, stat } from 'node:fs/promises';
import * as path from 'node:path';
import { glob, isDynamicPattern } from 'tinyglobby';
import { AcdClipError } from '../errors';
import type { Io } from './io';
import { readLines } from './ndjson';
import { type Input, pictureAt } from './picture';
import { isOwnName } from './picture-files';

const EXTENSIONS = ['.png', '.jpg', '.jpeg', '.webp', '.tif', '.tiff', '.gif', '.avif'];

/**
 * All inputs, in the order of the arguments; within folders and globs by path. `known` names them
 * all, unless stdin is among them. Folders and globs leave out pictures that this program drew.
 */
export async function expandInputs(
  args: readonly string[],
  io: Io,
): Promise<{ inputs: AsyncIterable<Input>; known: string[] | undefined }> {
  const parts: (Input[] | 'stdin')[] = [];
  for (const arg of args) parts.push(arg === '-' ? 'stdin' : await expandArgument(arg));
  const listed = parts.filter((part) => part !== 'stdin');
  const known = listed.length === parts.length ? listed.flat().map((i) => i.path) : undefined;
  return { inputs: sequence(parts, io), known };
}

async function* sequence(parts: readonly (Input[] | 'stdin')[], io: Io): AsyncGenerator<Input> {
  for (const part of parts) yield* part === 'stdin' ? readLines(io.stdin, io.signal) : part;
}

async function expandArgument(arg: string): Promise<Input[]> {
  const info = await stat(arg).catch(() => undefined);
  if (info?.isDirectory()) return pictures(arg, arg, await filesBelow(arg));
  // A name that exists is that file, even with * or [ in it; one that does not is told by the reader.
  if (info !== undefined || !isDynamicPattern(arg)) return [pictureAt(arg)];
  const found = await glob(arg, {
    absolute: path.isAbsolute(arg),
    expandDirectories: false,
    followSymbolicLinks: false,
  });
  return pictures(arg, fixedPart(arg), found);
}

async function filesBelow(folder: string): Promise<string[]> {
  const entries = await readdir(folder, { recursive: true, withFileTypes: true });
  const files = entries.filter((entry) => !entry.isDirectory());
  return files.map((entry) => path.join(entry.parentPath, entry.name));
}

function pictures(arg: string, root: string, files: readonly string[]): Input[] {
  const wanted = files
    .filter((f) => EXTENSIONS.includes(path.extname(f).toLowerCase()) && !isOwnName(f))
    .sort((a, b) => (a < b ? -1 : 1));
  if (wanted.length === 0) return [{ path: arg, error: nothingThere() }];
  return wanted.map((file) => ({ path: file, below: path.relative(root, file) }));
}

function nothingThere(): AcdClipError {
  return new AcdClipError('ERR_ACD_FILE_NOT_FOUND', 'Found no pictures there', {
    help: `Folders and globs are searched for ${EXTENSIONS.join(' ')}.`,
  });
}

/** The folder that a glob starts from. */
function fixedPart(pattern: string): string {
  const parts = pattern.split('/');
  const magic = parts.findIndex((part) => isDynamicPattern(part));
  return (
    parts.slice(0, Math.min(magic, parts.length - 1)).join('/') || (pattern[0] === '/' ? '/' : '.')
  );
}
