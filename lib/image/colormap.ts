// The colour maps of heat-maps: tables made by scripts/assets/colormaps.mjs.
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { AcdClipError } from '../errors';

export const COLORMAPS = ['inferno', 'viridis', 'turbo'] as const;
export type Colormap = (typeof COLORMAPS)[number];

let tables: Record<Colormap, number[]> | undefined;

/** r, g, b of 256 values from 0 to 1, flat. */
export function colormapTable(name: Colormap): readonly number[] {
  tables ??= load();
  return tables[name];
}

function load(): Record<Colormap, number[]> {
  const path = join(__dirname, '..', '..', 'assets', 'colormaps.json');
  try {
    return JSON.parse(readFileSync(path, 'utf8'));
  } catch (cause) {
    throw new AcdClipError('ERR_ACD_FILE_NOT_FOUND', `The colour maps are missing: ${path}`, {
      help: 'In a checkout, make them with: npm run build:assets. In an installed package, reinstall it.',
      cause,
    });
  }
}
