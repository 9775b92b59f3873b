// Writing a file so that at every moment its name means either the old content or the new one:
// temporary file in the same folder, fsync, rename, fsync of the folder.
import { randomBytes } from 'node:crypto';
import { access, constants, type FileHandle, link, open, rename, unlink } from 'node:fs/promises';
import * as path from 'node:path';
import { AcdClipError } from '../errors';
import { reason } from './source-file';

export interface WriteOptions {
  /** Replace an existing file; without it, an existing file is an error. */
  overwrite?: boolean;
  signal?: AbortSignal;
}

/**
 * Runs `fill` with a function that appends bytes, then puts the file in its place. When anything
 * fails, the target is as it was and the temporary file is gone. Returns the bytes written.
 */
export async function writeAtomically(
  target: string,
  options: WriteOptions,
  fill: (append: (bytes: Uint8Array) => Promise<void>) => Promise<void>,
): Promise<number> {
  const file = path.resolve(target);
  const overwrite = options.overwrite === true;
  if (!overwrite && (await exists(file))) throw alreadyExists(file);
  const temporary = `${file}.tmp-${process.pid}-${randomBytes(6).toString('hex')}`;
  try {
    const bytes = await writeTemporary(temporary, options.signal, fill);
    await moveIntoPlace(temporary, file, overwrite);
    await syncFolder(path.dirname(file));
    return bytes;
  } catch (error) {
    await unlink(temporary).catch(() => undefined);
    throw asWriteError(file, error, options.signal);
  }
}

async function writeTemporary(
  temporary: string,
  signal: AbortSignal | undefined,
  fill: (append: (bytes: Uint8Array) => Promise<void>) => Promise<void>,
): Promise<number> {
  const handle = await open(temporary, 'wx');
  let total = 0;
  try {
    await fill(async (bytes) => {
      signal?.throwIfAborted();
      await append(handle, bytes);
      total += bytes.length;
    });
    await handle.sync();
  } finally {
    await handle.close();
  }
  return total;
}

async function append(handle: FileHandle, bytes: Uint8Array): Promise<void> {
  for (let done = 0; done < bytes.length; ) {
    done += (await handle.write(bytes, done, bytes.length - done)).bytesWritten;
  }
}

async function moveIntoPlace(temporary: string, file: string, overwrite: boolean): Promise<void> {
  if (!overwrite) {
    try {
      // Unlike rename, link fails when somebody made the target in the meantime.
      await link(temporary, file);
      await unlink(temporary);
      return;
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === 'EEXIST') throw alreadyExists(file);
      // File systems without hard links (FAT, some network shares): the check comes just before.
      if (await exists(file)) throw alreadyExists(file);
    }
  }
  await rename(temporary, file);
}

async function syncFolder(folder: string): Promise<void> {
  // Windows cannot open folders; its renames are durable without it.
  if (process.platform === 'win32') return;
  const handle = await open(folder, constants.O_RDONLY);
  try {
    await handle.sync();
  } finally {
    await handle.close();
  }
}

async function exists(file: string): Promise<boolean> {
  return access(file).then(
    () => true,
    () => false,
  );
}

function alreadyExists(file: string): AcdClipError {
  return new AcdClipError(
    'ERR_ACD_INVALID_ARG',
    `Expected a file name that is free for the output but ${file} exists`,
    { help: 'Choose another name, or allow overwriting.' },
  );
}

function asWriteError(file: string, error: unknown, signal: AbortSignal | undefined): unknown {
  const own = error instanceof AcdClipError || (signal?.aborted && error === signal.reason);
  if (own) return error;
  return new AcdClipError('ERR_ACD_FILE_READ', `Cannot write ${file}: ${reason(error)}`, {
    cause: error,
  });
}
