// Which model is this? Independent of paths and dates, cheap for a file of 900 MB.
import { createHash } from 'node:crypto';
import { type FileHandle, open } from 'node:fs/promises';
import type { ModelConfig } from '../../typings/native';
import { AcdClipError } from '../errors';

const SAMPLES = 64;
const SAMPLE_BYTES = 16 * 1024;

/**
 * sha256 over the configuration and, of every file, its length and 64 evenly spaced pieces of
 * 16 KiB: it tells checkpoints apart, it does not detect every changed byte.
 */
export async function fingerprint(files: readonly string[], config: ModelConfig): Promise<string> {
  const hash = createHash('sha256').update(JSON.stringify(config));
  for (const path of files) {
    let file: FileHandle | undefined;
    try {
      file = await open(path, 'r');
      const { size } = await file.stat();
      hash.update(`\n${size}\n`);
      const piece = Buffer.alloc(SAMPLE_BYTES);
      for (let i = 0; i < SAMPLES; i++) {
        const at = Math.floor((Math.max(0, size - SAMPLE_BYTES) * i) / (SAMPLES - 1));
        const { bytesRead } = await file.read(piece, 0, SAMPLE_BYTES, at);
        hash.update(piece.subarray(0, bytesRead));
      }
    } catch (cause) {
      throw new AcdClipError(
        'ERR_ACD_FILE_READ',
        `Cannot read ${path}: ${(cause as Error).message}`,
        { cause },
      );
    } finally {
      await file?.close();
    }
  }
  return hash.digest('hex');
}
