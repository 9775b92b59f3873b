// Lets child processes and workers of these tests require lib/*.ts as Jest does: through swc. Hundreds
// of them start in a run, so what swc made is kept, under the hash of what it was made of.
const { createHash } = require('node:crypto');
const { mkdirSync, readFileSync, renameSync, writeFileSync } = require('node:fs');
const { join } = require('node:path');
const { threadId } = require('node:worker_threads');

const OPTIONS = {
  swcrc: false,
  jsc: { target: 'es2022', parser: { syntax: 'typescript' } },
  module: { type: 'commonjs' },
  sourceMaps: false,
};
const folder = join(__dirname, '../../build/lifecycle-js');
const maker = JSON.stringify(OPTIONS) + require('@swc/core/package.json').version;

function compiled(filename) {
  const source = readFileSync(filename, 'utf8');
  const hash = createHash('sha256').update(maker).update(filename).update('\0').update(source);
  const kept = join(folder, `${hash.digest('hex')}.js`);
  try {
    return readFileSync(kept, 'utf8');
  } catch {
    const { code } = require('@swc/core').transformSync(source, { filename, ...OPTIONS });
    mkdirSync(folder, { recursive: true });
    // Others may read it at the same time: it appears whole.
    const part = `${kept}.${process.pid}.${threadId}`;
    writeFileSync(part, code);
    renameSync(part, kept);
    return code;
  }
}

require.extensions['.ts'] = (module, filename) => module._compile(compiled(filename), filename);
