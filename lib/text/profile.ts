// Nouns that users keep in a JSON file: {"class": "noun"}.
import { type FileHandle, open, stat } from 'node:fs/promises';
import { AcdClipError } from '../errors';
import { checkString, isPlainObject, show } from '../validate';
import type { Nouns } from './nouns';

const MAX_BYTES = 1024 * 1024;
const MAX_NOUN_LENGTH = 1000;

/**
 * Reads a file of nouns: UTF-8 JSON, one plain object of non-empty strings, at most 1 MiB.
 *
 * @throws AcdClipError ERR_ACD_FILE_NOT_FOUND; ERR_ACD_FILE_READ the file system failed or it is no
 *   regular file; ERR_ACD_INVALID_ARG the contents are not nouns. Every message names the path.
 */
export async function readNouns(path: string): Promise<Nouns> {
  checkString('path', path);
  return checkNouns(parse(await readBounded(path), path), path);
}

async function readBounded(path: string): Promise<Buffer> {
  let file: FileHandle | undefined;
  try {
    // Before opening, which would wait for ever on a named pipe.
    if (!(await stat(path)).isFile()) throw new Error('not a regular file');
    file = await open(path, 'r');
    const buffer = Buffer.alloc(MAX_BYTES + 1);
    let used = 0;
    while (used < buffer.length) {
      const { bytesRead } = await file.read(buffer, used, buffer.length - used, used);
      if (bytesRead === 0) return buffer.subarray(0, used);
      used += bytesRead;
    }
  } catch (cause) {
    throw unreadable(path, cause);
  } finally {
    await file?.close();
  }
  throw wrong(path, `a file of at most ${MAX_BYTES} bytes`, 'a larger one');
}

function unreadable(path: string, cause: unknown): AcdClipError {
  const { code, message } = cause as NodeJS.ErrnoException;
  return code === 'ENOENT'
    ? new AcdClipError('ERR_ACD_FILE_NOT_FOUND', `No file of nouns at ${show(path)}`, { cause })
    : new AcdClipError('ERR_ACD_FILE_READ', `Cannot read nouns from ${show(path)}: ${message}`, {
        cause,
      });
}

function parse(bytes: Buffer, path: string): unknown {
  try {
    return JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(bytes));
  } catch (cause) {
    throw wrong(path, 'UTF-8 JSON', (cause as Error).message, cause);
  }
}

function checkNouns(value: unknown, path: string): Nouns {
  if (!isPlainObject(value)) throw wrong(path, 'an object {"class": "noun"}', show(value));
  for (const [className, noun] of Object.entries(value)) {
    if (className === '') throw wrong(path, 'class names that are not empty', '""');
    if (typeof noun !== 'string' || noun.trim() === '' || noun.length > MAX_NOUN_LENGTH) {
      const expected = `a noun of 1 to ${MAX_NOUN_LENGTH} characters for class ${show(className)}`;
      throw wrong(path, expected, show(noun));
    }
  }
  return value as Nouns;
}

function wrong(path: string, expected: string, actual: string, cause?: unknown): AcdClipError {
  return new AcdClipError(
    'ERR_ACD_INVALID_ARG',
    `Expected ${expected} in ${show(path)} but found ${actual}`,
    {
      help: 'The file holds one JSON object, for example {"bracket_black": "black bracket"}.',
      cause,
    },
  );
}
