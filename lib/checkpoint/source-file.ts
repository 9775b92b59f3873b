// A checkpoint file opened for positioned, bounded reading. Nothing is mapped: a file that shrinks
// under a map kills the process, a short read is an error.
import { constants, type Stats } from 'node:fs';
import { type FileHandle, open, stat } from 'node:fs/promises';
import * as path from 'node:path';
import { AcdClipError } from '../errors';
import type { CheckpointFile } from './checkpoint';
import { corrupt, refused, unsupportedFormat } from './failures';
import { LIMITS } from './limits';

export class SourceFile {
  private constructor(
    private readonly handle: FileHandle,
    /** Absolute path, size and identity at the time of opening. */
    readonly info: CheckpointFile,
  ) {}

  /** Opens a regular file; folders, pipes and devices are refused without being opened. */
  static async open(file: string): Promise<SourceFile> {
    const absolute = path.resolve(file);
    let handle: FileHandle | undefined;
    try {
      checkRegular(absolute, await stat(absolute));
      // O_NONBLOCK: should a pipe take the file's place after the check, open() must not hang.
      handle = await open(absolute, constants.O_RDONLY | (constants.O_NONBLOCK ?? 0));
      const s = await handle.stat();
      checkRegular(absolute, s);
      return new SourceFile(handle, {
        path: absolute,
        bytes: s.size,
        mtimeMs: s.mtimeMs,
        ino: s.ino,
        dev: s.dev,
      });
    } catch (error) {
      await handle?.close();
      throw asOpenError(absolute, error);
    }
  }

  get path(): string {
    return this.info.path;
  }

  get bytes(): number {
    return this.info.bytes;
  }

  /** Exactly `length` bytes from `offset`. The caller has checked both against `bytes`. */
  async read(offset: number, length: number): Promise<Buffer> {
    const buffer = Buffer.allocUnsafe(length);
    let done = 0;
    while (done < length) {
      let bytesRead: number;
      try {
        ({ bytesRead } = await this.handle.read(buffer, done, length - done, offset + done));
      } catch (error) {
        throw new AcdClipError('ERR_ACD_FILE_READ', `Cannot read ${this.path}: ${reason(error)}`, {
          cause: error,
        });
      }
      if (bytesRead === 0) {
        throw corrupt(
          this.path,
          `Expected ${length} bytes but the file ends after ${done}`,
          offset + done,
        );
      }
      done += bytesRead;
    }
    return buffer;
  }

  async close(): Promise<void> {
    await this.handle.close();
  }
}

/** The message of anything thrown. */
export function reason(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}

function checkRegular(file: string, s: Stats): void {
  if (s.isDirectory()) {
    throw unsupportedFormat(
      file,
      'Expected a checkpoint file but received a folder',
      'Name the file itself, or the *.safetensors.index.json of a sharded checkpoint.',
    );
  }
  if (!s.isFile()) {
    throw unsupportedFormat(file, 'Expected a regular file but received a pipe, socket or device');
  }
  if (s.size > LIMITS.fileBytes) {
    throw refused(file, `Expected at most ${LIMITS.fileBytes} bytes but the file has ${s.size}`);
  }
}

function asOpenError(file: string, error: unknown): unknown {
  if (error instanceof AcdClipError) return error;
  const code = (error as NodeJS.ErrnoException).code;
  const what =
    code === 'ENOENT' || code === 'ENOTDIR'
      ? 'no such file'
      : code === 'EACCES' || code === 'EPERM'
        ? 'permission denied'
        : reason(error);
  return new AcdClipError('ERR_ACD_FILE_NOT_FOUND', `Cannot open checkpoint ${file}: ${what}`, {
    cause: error,
  });
}
