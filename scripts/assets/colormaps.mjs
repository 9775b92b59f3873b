// assets/colormaps.json: 256-step tables of the colour maps that heat-maps can use.
import { createHash } from 'node:crypto';
import { mkdir, readFile, rename, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { interpolateInferno, interpolateTurbo, interpolateViridis } from 'd3-scale-chromatic';

const ASSET_SHA256 = 'f8b2f1739c2cfd0e422a56c9f5e9c196e05b047e9efa7254b5b9ed8761c47d87';
const SCHEMES = {
  inferno: interpolateInferno,
  viridis: interpolateViridis,
  turbo: interpolateTurbo,
};

const sha256 = (data) => createHash('sha256').update(data).digest('hex');

/** @param {{ root: string }} o the package's root folder */
export async function build({ root }) {
  const out = join(root, 'assets', 'colormaps.json');
  const tables = Object.entries(SCHEMES).map(([name, scheme]) => [name, table(scheme)]);
  const json = `${JSON.stringify(Object.fromEntries(tables))}\n`;
  if (sha256(json) !== ASSET_SHA256) {
    throw new Error(
      `colormaps.json would have sha256 ${sha256(json)}, not ${ASSET_SHA256}: ` +
        'install the d3-scale-chromatic that package-lock.json pins (npm ci)',
    );
  }
  if (await isUpToDate(out)) return;
  await mkdir(join(root, 'assets'), { recursive: true });
  const draft = `${out}.${process.pid}.tmp`;
  await writeFile(draft, json);
  await rename(draft, out);
  console.log(`assets/colormaps.json: ${tables.length} colour maps, ${json.length} bytes`);
}

async function isUpToDate(path) {
  try {
    return sha256(await readFile(path)) === ASSET_SHA256;
  } catch {
    return false; // absent: cured by writing it
  }
}

/** r, g, b of 256 evenly spaced values from 0 to 1, flat. */
function table(scheme) {
  return Array.from({ length: 256 }, (_, i) => rgb(scheme(i / 255))).flat();
}

/** Both ways in which d3 writes a colour: #rrggbb and rgb(r, g, b). */
function rgb(text) {
  const hex = /^#(..)(..)(..)$/.exec(text);
  if (hex) return hex.slice(1).map((part) => Number.parseInt(part, 16));
  return /^rgb\((\d+), (\d+), (\d+)\)$/.exec(text).slice(1).map(Number);
}
