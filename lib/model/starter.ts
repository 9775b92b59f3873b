// The small trained model that comes with the package, for load() without files.
import { createHash } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { readFile } from 'node:fs/promises';
import * as path from 'node:path';
import { AcdClipError } from '../errors';

// lib/model in the source tree, dist/model when built: the package's root is two folders up in both.
const ASSETS = path.join(__dirname, '..', '..', 'assets');
const NAME = 'starter.safetensors';
const CHECKSUM = 'starter.sha256';

/** The bundle that AcdClip.load() takes when it is given neither backbone nor bundle. */
export const starterModel: { readonly path: string } = Object.freeze({
  path: path.join(ASSETS, NAME),
});

const HELP = `Pass backbone and adapter, or bundle; or reinstall the package (in a checkout of the sources: git checkout -- assets/${NAME} assets/${CHECKSUM}).`;

/**
 * The path of the starter model, once its bytes have been found to be the published ones.
 *
 * @throws AcdClipError ERR_ACD_NO_MODEL it is not there; ERR_ACD_CHECKPOINT_CORRUPT it is another
 *   file; ERR_ACD_FILE_READ
 */
export async function verifiedStarter(folder: string = ASSETS): Promise<string> {
  const file = path.join(folder, NAME);
  const published = await publishedSha256(path.join(folder, CHECKSUM));
  const found = await sha256Of(file);
  if (found === published) return file;
  throw new AcdClipError(
    'ERR_ACD_CHECKPOINT_CORRUPT',
    `Expected sha256 ${published} for the starter model ${file} but it has ${found}`,
    { help: HELP },
  );
}

/** What the line of sha256sum says. */
async function publishedSha256(file: string): Promise<string> {
  const line = await readFile(file, 'utf8').catch((cause) => {
    throw unreadable(file, cause);
  });
  const sha256 = /^([0-9a-f]{64}) [ *]starter\.safetensors\r?\n?$/.exec(line)?.[1];
  if (sha256 !== undefined) return sha256;
  throw new AcdClipError(
    'ERR_ACD_FILE_READ',
    `Expected a line of sha256sum for ${NAME} in ${file} but it holds something else`,
    { help: HELP },
  );
}

async function sha256Of(file: string): Promise<string> {
  try {
    const hash = createHash('sha256');
    const pieces = createReadStream(file, { highWaterMark: 1 << 20 });
    for await (const piece of pieces) hash.update(piece);
    return hash.digest('hex');
  } catch (cause) {
    throw unreadable(file, cause);
  }
}

function unreadable(file: string, cause: unknown): AcdClipError {
  const { code, message } = cause as NodeJS.ErrnoException;
  if (code !== 'ENOENT') {
    return new AcdClipError(
      'ERR_ACD_FILE_READ',
      `Cannot read ${file} of the starter model: ${message}`,
      { cause },
    );
  }
  return new AcdClipError(
    'ERR_ACD_NO_MODEL',
    `The starter model, which is used when neither backbone nor bundle is given, is missing: ${file}`,
    { cause, help: HELP },
  );
}
