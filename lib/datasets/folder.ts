// The output folder: ours to write only when it is empty, or when an earlier run of ours filled it
// and the caller says so.
import { mkdir, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import * as path from 'node:path';
import { writeAtomically } from '../checkpoint/atomic-file';
import { reason } from '../checkpoint/source-file';
import { AcdClipError } from '../errors';

/** Present from the first picture on, so that an interrupted run can be replaced too. */
const MARKER = '.acd-clip-generated';
const MARKER_TEXT = 'Written by acd-clip datasets generate, which may delete this folder.\n';

/** Makes `root` an empty folder of ours, or says why it will not. */
export async function claimFolder(root: string, overwrite: boolean): Promise<void> {
  try {
    await mkdir(root, { recursive: true });
    const entries = await readdir(root);
    if (entries.length > 0) await empty(root, entries, overwrite);
    await writeFile(path.join(root, MARKER), MARKER_TEXT);
  } catch (error) {
    throw writeProblem(root, error);
  }
}

async function empty(root: string, entries: string[], overwrite: boolean): Promise<void> {
  const ours =
    entries.includes(MARKER) &&
    (await readFile(path.join(root, MARKER), 'utf8').catch(() => '')) === MARKER_TEXT;
  if (!ours) {
    throw new AcdClipError(
      'ERR_ACD_INVALID_ARG',
      `Expected an empty or new folder for out but ${root} holds files that were not generated`,
      { help: 'Choose another folder; files of others are never replaced.' },
    );
  }
  if (!overwrite) {
    throw new AcdClipError(
      'ERR_ACD_INVALID_ARG',
      `Expected an empty or new folder for out but ${root} holds a generated dataset`,
      { help: 'Choose another folder, or allow overwriting (--overwrite).' },
    );
  }
  for (const entry of entries) {
    if (entry !== MARKER) await rm(path.join(root, entry), { recursive: true, force: true });
  }
}

/** Last, so that a manifest is there only when every picture is. */
export async function finishFolder(
  root: string,
  lines: readonly object[],
  nouns: Readonly<Record<string, string>>,
): Promise<void> {
  await write(path.join(root, 'nouns.json'), `${JSON.stringify(nouns, null, 2)}\n`);
  const manifest = lines.map((line) => `${JSON.stringify(line)}\n`).join('');
  await write(path.join(root, 'manifest.jsonl'), manifest);
}

async function write(file: string, text: string): Promise<void> {
  await writeAtomically(file, { overwrite: true }, (append) => append(Buffer.from(text)));
}

export function writeProblem(file: string, error: unknown): unknown {
  if (error instanceof AcdClipError) return error;
  return new AcdClipError('ERR_ACD_FILE_READ', `Cannot write ${file}: ${reason(error)}`, {
    cause: error,
  });
}
