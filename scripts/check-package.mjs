// The npm tarball: what it must hold, what it must not, and that both ways of importing it work.
import { spawnSync } from 'node:child_process';
import { createRequire } from 'node:module';
import { fail, root } from './lib.mjs';

const packed = spawnSync('npm', ['pack', '--dry-run', '--json', '--ignore-scripts'], {
  cwd: root,
  encoding: 'utf8',
});
if (packed.status !== 0) fail(`npm pack failed: ${packed.stderr}`);
// npm prints an array of packages, newer versions an object by name.
const answer = JSON.parse(packed.stdout);
const [contents] = Array.isArray(answer) ? answer : Object.values(answer);
const files = contents.files.map((f) => f.path);

const needed = [
  'dist/index.js',
  'dist/cli/main.js',
  'lib/index.mjs',
  'typings/index.d.ts',
  'typings/index.d.mts',
  'assets/clip-vocabulary.json.gz',
  'assets/colormaps.json',
  'assets/starter.safetensors',
  'assets/starter.sha256',
  'assets/starter.md',
  'native/addon/addon.cc',
  'CMakeLists.txt',
  'scripts/build-native.mjs',
  'scripts/lib.mjs',
  'README.md',
  'LICENSE',
];
const missing = needed.filter((f) => !files.includes(f));
if (missing.length > 0) fail(`The tarball lacks ${missing.join(', ')}`);
// npm would run node-gyp by itself on install if it saw a binding.gyp.
const forbidden = files.filter(
  (f) => f === 'binding.gyp' || /^(test|bench|build)\/|_test\.cc$|_ref\.cc$|\.map$/.test(f),
);
if (forbidden.length > 0) fail(`The tarball must not hold ${forbidden.join(', ')}`);

const required = Object.keys(createRequire(import.meta.url)('../dist/index.js')).sort();
const imported = Object.keys(await import('../lib/index.mjs')).sort();
if (required.join() !== imported.join()) {
  fail(`require() gives ${required.join(', ')}\nimport gives ${imported.join(', ')}`);
}
process.stderr.write(`${files.length} files, ${(contents.size / 1e6).toFixed(2)} MB packed\n`);
