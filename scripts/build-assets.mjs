// Makes the files in assets/ that are too derived to commit. Every module of scripts/assets/ exports
// `build({ root })`, verifies its source by sha256 and does nothing when its output is up to date.
import { readdir } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';

const root = dirname(dirname(fileURLToPath(import.meta.url)));
const folder = join(root, 'scripts', 'assets');

for (const name of (await readdir(folder)).filter((n) => n.endsWith('.mjs')).sort()) {
  const { build } = await import(pathToFileURL(join(folder, name)).href);
  if (typeof build !== 'function') throw new Error(`scripts/assets/${name} exports no build()`);
  await build({ root });
}
