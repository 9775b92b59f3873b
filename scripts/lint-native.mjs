// clang-format over native/, test/native/, test/gpu/ and bench/peaks/: checks, or with --write formats. Skipped with
// a word where clang-format is not installed.
import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import { fail, probe, root } from './lib.mjs';

const write = process.argv.includes('--write');
const files = ['native', 'test/native', 'test/gpu', 'bench/peaks'].flatMap((folder) =>
  readdirSync(join(root, folder), { recursive: true })
    .filter((name) => /\.(cc|cu|h)$/.test(name))
    .map((name) => join(folder, name)),
);
const done = probe('clang-format', [...(write ? ['-i'] : ['--dry-run', '--Werror']), ...files]);
if (!done) {
  process.stderr.write('clang-format is not installed: native sources were not checked\n');
} else if (done.code !== 0) {
  fail(done.output, 'Run "npm run format" with clang-format installed.');
} else {
  process.stderr.write(`${files.length} native files ${write ? 'formatted' : 'are formatted'}\n`);
}
