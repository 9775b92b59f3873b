// Command-line options of the scripts, with the help taken from their header.
import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';

/** parseArgs with string options and --help, which prints the script's leading comment. */
export function options(url, defaults) {
  const named = Object.fromEntries(
    Object.entries(defaults).map(([name, value]) => [
      name,
      typeof value === 'boolean'
        ? { type: 'boolean', default: value }
        : { type: 'string', ...(value === undefined ? {} : { default: String(value) }) },
    ]),
  );
  const { values } = parseArgs({ options: { ...named, help: { type: 'boolean' } } });
  if (values.help) {
    const lines = readFileSync(fileURLToPath(url), 'utf8').split('\n');
    const end = lines.findIndex((line) => !line.startsWith('//'));
    console.log(
      lines
        .slice(0, end)
        .map((line) => line.replace(/^\/\/ ?/, ''))
        .join('\n'),
    );
    process.exit(0);
  }
  return values;
}

export function positive(name, text) {
  const value = Number(text);
  if (Number.isInteger(value) && value > 0) return value;
  throw new Error(`Expected a positive integer for --${name} but received ${text}`);
}
