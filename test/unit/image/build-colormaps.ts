import { execFileSync } from 'node:child_process';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';

const root = join(__dirname, '../../..');

/** Makes assets/colormaps.json as `npm run build:assets` does. In a child: the script is ESM. */
export function buildColormaps(): void {
  const url = pathToFileURL(join(root, 'scripts/assets/colormaps.mjs')).href;
  const code = `import { build } from ${JSON.stringify(url)}; await build({ root: process.argv[1] });`;
  execFileSync(process.execPath, ['--input-type=module', '-e', code, root]);
}
