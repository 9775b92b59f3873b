// The pictures that detect draws: where they go, and whose files they may replace.
import { mkdir, open } from 'node:fs/promises';
import * as path from 'node:path';
import { crc32 } from 'node:zlib';
import { writeAtomically } from '../checkpoint/atomic-file';
import { AcdClipError } from '../errors';
import type { Picture } from './picture';

export const OVERLAY = '.acd.png';
export const HEATMAP = '.acd-map.png';

const PNG_HEAD_BYTES = 33; // signature and IHDR
const MARK = textChunk('Software', 'acd-clip');

/** Whether a file is named as one that this program draws. */
export function isOwnName(file: string): boolean {
  return file.endsWith(OVERLAY) || file.endsWith(HEATMAP);
}

/**
 * Gives every picture of a run a file of its own: NAME.acd.png beside it, or at the same place
 * below a folder. Where that is taken by another picture of the run, NAME gets its extension, and
 * then a number.
 */
export class PictureFiles {
  readonly #owners = new Map<string, string>();
  readonly #folder: string | undefined;
  readonly #suffix: string;

  constructor(folder: string | undefined, suffix: string) {
    this.#folder = folder;
    this.#suffix = suffix;
  }

  nameFor(picture: Picture): string {
    const source = path.resolve(picture.path);
    const beside = path.dirname(picture.path);
    const folder =
      this.#folder === undefined ? beside : path.join(this.#folder, path.dirname(picture.below));
    const { name, base } = path.parse(picture.path);
    for (let n = 0; ; n++) {
      const stem = n === 0 ? name : n === 1 ? base : `${base}-${n}`;
      const file = path.join(folder, stem + this.#suffix);
      const owner = this.#owners.get(path.resolve(file)) ?? source;
      if (owner !== source) continue;
      this.#owners.set(path.resolve(file), source);
      return file;
    }
  }
}

/**
 * Writes a PNG, marked as ours. An existing file is replaced only when it carries that mark or
 * `overwrite` is set. Throws ERR_ACD_INVALID_ARG, ERR_ACD_FILE_READ.
 */
export async function writePicture(
  file: string,
  png: Buffer,
  o: { overwrite: boolean; signal: AbortSignal },
): Promise<void> {
  await makeFolder(path.dirname(file));
  const overwrite = o.overwrite || (await isMarked(file));
  await writeAtomically(file, { overwrite, signal: o.signal }, async (append) => {
    await append(png.subarray(0, PNG_HEAD_BYTES));
    await append(MARK);
    await append(png.subarray(PNG_HEAD_BYTES));
  });
}

/** Throws ERR_ACD_FILE_READ. */
export async function makeFolder(folder: string): Promise<void> {
  await mkdir(folder, { recursive: true }).catch((cause: NodeJS.ErrnoException) => {
    const message = `Cannot make the folder ${folder}: ${cause.code}`;
    throw new AcdClipError('ERR_ACD_FILE_READ', message, { cause });
  });
}

async function isMarked(file: string): Promise<boolean> {
  const handle = await open(file, 'r').catch(() => undefined);
  if (handle === undefined) return false;
  try {
    const found = Buffer.alloc(MARK.length);
    await handle.read(found, 0, found.length, PNG_HEAD_BYTES);
    return found.equals(MARK);
  } finally {
    await handle.close();
  }
}

function textChunk(keyword: string, text: string): Buffer {
  const body = Buffer.from(`tEXt${keyword}\0${text}`, 'latin1');
  const chunk = Buffer.alloc(body.length + 8);
  chunk.writeUInt32BE(body.length - 4, 0);
  body.copy(chunk, 4);
  chunk.writeUInt32BE(crc32(body), body.length + 4);
  return chunk;
}
