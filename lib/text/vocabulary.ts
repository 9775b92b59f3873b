// Reads assets/clip-vocabulary.json.gz, which scripts/assets/vocabulary.mjs makes.
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { gunzipSync } from 'node:zlib';
import { AcdClipError } from '../errors';

export const MERGES = 48894;

// lib/text in the source tree, dist/text when built: the package's root is two folders up in both.
const DEFAULT_PATH = join(__dirname, '..', '..', 'assets', 'clip-vocabulary.json.gz');
const MAX_BYTES = 16 * 1024 * 1024;

/**
 * The merges of CLIP's byte-pair encoding, "a b", in order of rank.
 *
 * @throws AcdClipError ERR_ACD_FILE_NOT_FOUND the asset is missing; ERR_ACD_FILE_READ it cannot be
 *   read or is not what the build makes
 */
export function readMerges(path: string = DEFAULT_PATH): string[] {
  const packed = readAsset(path);
  try {
    const asset = JSON.parse(gunzipSync(packed, { maxOutputLength: MAX_BYTES }).toString('utf8'));
    if (asset.format !== 'acd-clip-vocabulary/1') throw new Error(`format is ${asset.format}`);
    if (asset.merges.length !== MERGES) throw new Error(`${asset.merges.length} merges`);
    return asset.merges;
  } catch (cause) {
    throw new AcdClipError(
      'ERR_ACD_FILE_READ',
      `Expected CLIP's vocabulary of ${MERGES} merges in ${path} but it is damaged`,
      { help: 'Delete the file and run: npm run build:assets', cause },
    );
  }
}

function readAsset(path: string): Buffer {
  try {
    return readFileSync(path);
  } catch (cause) {
    if ((cause as NodeJS.ErrnoException).code === 'ENOENT') {
      throw new AcdClipError('ERR_ACD_FILE_NOT_FOUND', `CLIP's vocabulary is missing: ${path}`, {
        help: 'In a checkout of the sources run: npm run build:assets',
        cause,
      });
    }
    throw new AcdClipError('ERR_ACD_FILE_READ', `Cannot read CLIP's vocabulary: ${path}`, {
      cause,
    });
  }
}
