// What may be passed as a picture, and the encoded bytes behind it. Everything is recognised by shape
// or by node:util's checks, never by instanceof: values come from any realm (vm, Jest, workers).
import { open, stat } from 'node:fs/promises';
import { Readable } from 'node:stream';
import { fileURLToPath } from 'node:url';
import { types } from 'node:util';
import type { Sharp } from 'sharp';
import { AcdClipError } from '../errors';
import { invalid } from '../validate';
import { checkEncodedBytes, type ImageLimits } from './limits';

/** Raw interleaved 8-bit pixels, row by row: grey, grey + alpha, RGB or RGB + alpha. */
export interface RawImage {
  /** Exactly height * width * channels bytes. */
  data: Uint8Array | Uint8ClampedArray;
  width: number;
  height: number;
  channels: 1 | 2 | 3 | 4;
}

/**
 * A picture, in any of these forms:
 *
 * - `string`: a path; `URL`: a `file:` URL (fetch http(s) pictures yourself and pass the bytes);
 * - `Buffer`, `Uint8Array`, `Uint8ClampedArray`, `ArrayBuffer`, `SharedArrayBuffer`: encoded bytes
 *   (PNG, JPEG, WebP, TIFF, GIF or AVIF), copied before the call returns;
 * - a Node.js `Readable` or a web `ReadableStream` of encoded bytes, read to its end;
 * - a `sharp` instance, whose pipeline runs on a clone;
 * - {@link RawImage}: raw pixels, copied before the call returns.
 */
export type ImageInput =
  | string
  | URL
  | Uint8Array
  | Uint8ClampedArray
  | ArrayBuffer
  | SharedArrayBuffer
  | Readable
  | ReadableStream<Uint8Array>
  | Sharp
  | RawImage;

const EXPECTED =
  'path, file URL, encoded bytes, stream, sharp instance or { data, width, height, channels }';

export function unknownInput(name: string, value: unknown): AcdClipError {
  return invalid(name, EXPECTED, value);
}

export function isSharp(value: unknown): value is Sharp {
  const v = value as Partial<Sharp> | null;
  return (
    typeof v === 'object' &&
    typeof v?.clone === 'function' &&
    typeof v.metadata === 'function' &&
    typeof v.toBuffer === 'function' &&
    typeof v.raw === 'function'
  );
}

export function isStream(value: unknown): value is AsyncIterable<unknown> {
  const v = value as Partial<AsyncIterable<unknown>> | null;
  return typeof v === 'object' && typeof v?.[Symbol.asyncIterator] === 'function';
}

export function isRaw(value: unknown): value is RawImage {
  return typeof value === 'object' && value !== null && 'data' in value;
}

function isUrl(value: unknown): value is URL {
  const url = value as URL | null;
  return (
    typeof url === 'object' && typeof url?.href === 'string' && typeof url.protocol === 'string'
  );
}

export function isByteArray(value: unknown): value is Uint8Array | Uint8ClampedArray {
  return types.isUint8Array(value) || types.isUint8ClampedArray(value);
}

/** A copy of a byte array or an array buffer; throws ERR_ACD_INVALID_ARG if it was detached. */
export function copyBytes(
  name: string,
  value: Uint8Array | Uint8ClampedArray | ArrayBuffer | SharedArrayBuffer,
): Uint8Array {
  try {
    // The constructor throws for a detached buffer.
    const view = isByteArray(value)
      ? new Uint8Array(value.buffer, value.byteOffset, value.byteLength)
      : new Uint8Array(value);
    return new Uint8Array(view);
  } catch {
    throw invalid(name, 'bytes whose ArrayBuffer has not been transferred away', value);
  }
}

/** Path, URL, bytes or stream -> encoded bytes that nobody else holds. */
export async function readEncoded(
  name: string,
  input: unknown,
  limits: ImageLimits,
  signal?: AbortSignal,
): Promise<Uint8Array> {
  if (typeof input === 'string' || isUrl(input)) return readPath(name, toPath(name, input), limits);
  if (isByteArray(input) || types.isAnyArrayBuffer(input)) {
    checkEncodedBytes(name, input.byteLength, limits);
    return copyBytes(name, input);
  }
  if (isStream(input)) return readStream(name, input, limits, signal);
  throw unknownInput(name, input);
}

function toPath(name: string, input: string | URL): string {
  const text = typeof input === 'string' ? input : input.href;
  if (text === '') throw unknownInput(name, input);
  if (/^https?:\/\//i.test(text)) {
    throw new AcdClipError(
      'ERR_ACD_UNSUPPORTED',
      `Expected a local picture for ${name} but received an ${text.slice(0, text.indexOf(':'))} address; fetch it first`,
      { help: 'Pass its bytes: Buffer.from(await (await fetch(url)).arrayBuffer()).' },
    );
  }
  if (typeof input === 'string') return input;
  try {
    return fileURLToPath(text);
  } catch (cause) {
    throw new AcdClipError(
      'ERR_ACD_INVALID_ARG',
      `Expected file URL for ${name} but received ${JSON.stringify(text.slice(0, 80))}`,
      { cause },
    );
  }
}

function fileError(name: string, path: string, cause: unknown): AcdClipError {
  const { code } = cause as NodeJS.ErrnoException;
  if (code === 'ERR_INVALID_ARG_VALUE') return invalid(name, 'path without NUL bytes', path);
  const absent = code === 'ENOENT' || code === 'ENOTDIR';
  return new AcdClipError(
    absent ? 'ERR_ACD_FILE_NOT_FOUND' : 'ERR_ACD_FILE_READ',
    `Expected a readable file for ${name} but ${JSON.stringify(path)} ${absent ? 'does not exist' : `cannot be read (${code})`}`,
    { cause },
  );
}

async function readPath(name: string, path: string, limits: ImageLimits): Promise<Uint8Array> {
  try {
    // Asked before opening: opening a FIFO would wait for a writer.
    const info = await stat(path);
    if (!info.isFile()) {
      throw new AcdClipError(
        'ERR_ACD_FILE_READ',
        `Expected a file for ${name} but ${JSON.stringify(path)} is ${info.isDirectory() ? 'a directory' : 'not a regular file'}`,
      );
    }
    checkEncodedBytes(name, info.size, limits);
    return await readExactly(path, info.size);
  } catch (error) {
    throw error instanceof AcdClipError ? error : fileError(name, path, error);
  }
}

/** At most `size` bytes, even where the file grows meanwhile. */
async function readExactly(path: string, size: number): Promise<Uint8Array> {
  const bytes = new Uint8Array(size);
  const file = await open(path, 'r');
  try {
    let filled = 0;
    while (filled < size) {
      const { bytesRead } = await file.read(bytes, filled, size - filled);
      if (bytesRead === 0) break;
      filled += bytesRead;
    }
    return bytes.subarray(0, filled);
  } finally {
    await file.close();
  }
}

async function readStream(
  name: string,
  stream: AsyncIterable<unknown>,
  limits: ImageLimits,
  signal?: AbortSignal,
): Promise<Uint8Array> {
  const isWeb = typeof (stream as Partial<ReadableStream>).getReader === 'function';
  const source = isWeb ? Readable.fromWeb(stream as never) : stream;
  // Destroying the stream is what ends a read that waits for a sender that has gone silent.
  const stop = () => (source as Partial<Readable>).destroy?.();
  signal?.addEventListener('abort', stop, { once: true });
  try {
    return await collect(name, source, limits);
  } catch (cause) {
    signal?.throwIfAborted();
    if (cause instanceof AcdClipError) throw cause;
    throw new AcdClipError('ERR_ACD_FILE_READ', `The stream given for ${name} failed`, { cause });
  } finally {
    signal?.removeEventListener('abort', stop);
  }
}

async function collect(
  name: string,
  source: AsyncIterable<unknown>,
  limits: ImageLimits,
): Promise<Uint8Array> {
  const chunks: Uint8Array[] = [];
  let total = 0;
  for await (const chunk of source) {
    if (!isByteArray(chunk)) throw invalid(name, 'stream of bytes', chunk);
    total += chunk.byteLength;
    checkEncodedBytes(name, total, limits);
    chunks.push(copyBytes(name, chunk));
  }
  return Buffer.concat(chunks, total);
}
