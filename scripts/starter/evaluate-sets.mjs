// The pictures of the evaluation: labelled sets on disk, and decoding them with their masks.
import { existsSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { dirname, join, parse } from 'node:path';
import sharp from 'sharp';
import { kernels } from '../../lib/index.mjs';

// Inside the checkout a script may use rooms that the public API does not show.
const { native } = createRequire(import.meta.url)('../../dist/binding/index.js');

/** The real sets. Nouns follow the published convention: what the picture shows, in plain words. */
export const REAL_SETS = [
  { name: 'hazelnut_toy', noun: 'hazelnut', domain: 'industrial' },
  { name: 'magnetic_tile', noun: 'magnetic tile', domain: 'industrial' },
  { name: 'kvasir_seg', noun: 'colon endoscopy image', domain: 'medical' },
];

/** Names of the generator's classes that are held out of training, or of the others. */
export function generatedClasses({ heldOut }) {
  return native()
    .datagen.classes()
    .filter((c) => c.heldOut === heldOut)
    .map((c) => c.name);
}

/** A set that cannot be used, in words for the person at the terminal. */
export class SetError extends Error {}

/**
 * Every picture of a folder's manifest.jsonl, good ones of train folders too: nothing here learns.
 *
 * @returns {Promise<{ image: string, label: 0 | 1, className: string, mask?: string }[]>}
 * @throws SetError
 */
export async function readSet(folder) {
  const manifest = join(folder, 'manifest.jsonl');
  const text = await readFile(manifest, 'utf8').catch(() => {
    throw new SetError(
      `Expected a set of labelled pictures in ${folder} but there is no ${manifest}. It needs one ` +
        'JSON object a line: {"image_path", "label": 0 or 1, "class_name", "mask_path"}.',
    );
  });
  const lines = text.split('\n').filter((line) => line.trim() !== '');
  return lines.map((line, i) => readLine(folder, line, `${manifest}, line ${i + 1}`));
}

function readLine(folder, line, where) {
  let entry;
  try {
    entry = JSON.parse(line);
  } catch (error) {
    throw new SetError(`${where} is not JSON: ${error.message}`);
  }
  const { image_path, label, class_name, mask_path } = entry;
  if (typeof image_path !== 'string' || (label !== 0 && label !== 1)) {
    throw new SetError(`${where}: expected image_path and a label of 0 or 1`);
  }
  const image = join(folder, image_path);
  if (!existsSync(image)) throw new SetError(`${where}: there is no picture ${image}`);
  if (label === 0) return { image, label, className: class_name };
  const mask = mask_path === undefined ? maskBeside(image) : join(folder, mask_path);
  if (mask === undefined || !existsSync(mask)) {
    throw new SetError(`${where}: there is no mask for ${image}${mask ? ` at ${mask}` : ''}`);
  }
  return { image, label, className: class_name, mask };
}

/** CLASS/test/DEFECT/NAME.* has CLASS/ground_truth/DEFECT/NAME_mask.png or NAME.png. */
function maskBeside(image) {
  const { dir, name } = parse(image);
  const truth = join(dirname(dirname(dir)), 'ground_truth', parse(dir).base);
  return [`${name}_mask.png`, `${name}.png`].map((n) => join(truth, n)).find(existsSync);
}

/** RGB bytes [side, side, 3], resized as the model resizes. */
export async function readPicture(file, side) {
  const { data, info } = await sharp(file)
    .removeAlpha()
    .toColourspace('srgb')
    .raw()
    .toBuffer({ resolveWithObject: true });
  return kernels.resizeBicubic(data, info.width, info.height, 3, side, side);
}

/** 0 or 1 for each of side x side pixels; all 0 without a file. */
export async function readMask(file, side) {
  if (file === undefined) return new Uint8Array(side * side);
  const { data, info } = await sharp(file)
    .toColourspace('b-w')
    .raw()
    .toBuffer({ resolveWithObject: true });
  const grey = new Uint8Array(info.width * info.height);
  for (let i = 0; i < grey.length; i++) grey[i] = data[i * info.channels];
  const small = kernels.resizeNearest(grey, info.width, info.height, 1, side, side);
  return small.map((value) => (value === 0 ? 0 : 1));
}
