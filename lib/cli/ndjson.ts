// Pictures named line by line on stdin, as JSON.
import type { Readable } from 'node:stream';
import { StringDecoder } from 'node:string_decoder';
import { AcdClipError } from '../errors';
import { checkOptions, checkString, invalid, isPlainObject } from '../validate';
import { type Input, type Picture, pictureAt } from './picture';

const MAX_LINE_LENGTH = 1 << 20;
const KEYS = ['path', 'class', 'id'];

/**
 * One picture a line: {"path": "nut.jpg", "class": "metal nut", "id": 7}, or only "nut.jpg" as a
 * JSON string. Empty lines are skipped; a bad line is an input with an error that gives its number.
 */
export async function* readLines(stdin: Readable, signal: AbortSignal): AsyncGenerator<Input> {
  let line = 0;
  for await (const text of splitLines(stdin, signal)) {
    line++;
    const bare = text.trim();
    if (bare !== '') yield parseLine(bare, line);
  }
}

function parseLine(text: string, line: number): Input {
  try {
    return toPicture(JSON.parse(text));
  } catch (cause) {
    const isOurs = cause instanceof AcdClipError;
    const message = isOurs ? cause.message : `Expected JSON: ${(cause as Error).message}`;
    const help = 'Each line is like {"path": "nut.jpg", "class": "metal nut"}.';
    const code = isOurs ? cause.code : 'ERR_ACD_INVALID_ARG';
    return { path: `stdin:${line}`, error: new AcdClipError(code, message, { cause, help }) };
  }
}

function toPicture(value: unknown): Picture {
  if (typeof value === 'string') return named(value);
  if (!isPlainObject(value)) throw invalid('picture', 'object with a path, or a path', value);
  checkOptions('a line of stdin', value, KEYS);
  const picture = named(value.path);
  if (value.class !== undefined) picture.className = checkString('class', value.class);
  if (value.id !== undefined) {
    if (typeof value.id !== 'string' && typeof value.id !== 'number') {
      throw invalid('id', 'string or number', value.id);
    }
    picture.id = value.id;
  }
  return picture;
}

function named(value: unknown): Picture {
  const file = checkString('path', value);
  if (file.includes('\0')) throw invalid('path', 'path without NUL bytes', file);
  return pictureAt(file);
}

async function* splitLines(stdin: Readable, signal: AbortSignal): AsyncGenerator<string> {
  // Only destroying the stream ends a read that waits for a sender that has gone silent.
  const stop = () => stdin.destroy();
  signal.addEventListener('abort', stop, { once: true });
  const decoder = new StringDecoder('utf8');
  let rest = '';
  try {
    for await (const chunk of stdin) {
      rest += decoder.write(chunk as Buffer);
      const lines = rest.split('\n');
      rest = lines.pop()!;
      yield* lines;
      if (rest.length > MAX_LINE_LENGTH) throw tooLong();
    }
    yield rest + decoder.end();
  } catch (error) {
    signal.throwIfAborted();
    throw error;
  } finally {
    signal.removeEventListener('abort', stop);
  }
  signal.throwIfAborted();
}

function tooLong(): AcdClipError {
  return new AcdClipError(
    'ERR_ACD_INVALID_ARG',
    `Expected lines of at most ${MAX_LINE_LENGTH} characters on stdin but received a longer one`,
    { help: 'Send one JSON object a line.' },
  );
}
