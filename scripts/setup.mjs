// Everything a fresh clone on a fresh machine needs before the demo or the tests: system packages,
// npm packages, assets, JavaScript and the addon. Each part is skipped when it is up to date.
//
//   node scripts/setup.mjs [--tests]      --tests: also what the native tests need, and build them
import { createHash } from 'node:crypto';
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fail, probe, root, run, step } from './lib.mjs';

const withTests = process.argv.includes('--tests');

/** System packages by Debian's names, each with how to see that it is there. */
const SYSTEM = [
  { name: 'g++', there: () => probe('g++', ['--version'])?.code === 0 },
  { name: 'make', there: () => hasGenerator() },
  { name: 'cmake', there: () => probe('cmake', ['--version'])?.code === 0 },
  { name: 'libdnnl-dev', there: () => includes('oneapi/dnnl/dnnl.hpp') },
  ...(withTests ? [{ name: 'doctest-dev', there: () => includes('doctest/doctest.h') }] : []),
];

function hasGenerator() {
  return ['make', 'ninja'].some((tool) => probe(tool, ['--version'])?.code === 0);
}

function includes(header) {
  const source = `#include <${header}>\n`;
  return (
    probe('g++', ['-std=c++17', '-fsyntax-only', '-x', 'c++', '-'], { input: source })?.code === 0
  );
}

function checkNode() {
  const [major, minor] = process.versions.node.split('.').map(Number);
  if (major < 20 || (major === 20 && minor < 19)) {
    fail(`Node.js >= 20.19 is needed; this is ${process.versions.node}.`);
  }
}

function installSystemPackages() {
  const missing = SYSTEM.filter((p) => !p.there()).map((p) => p.name);
  if (missing.length === 0) return;
  const command = `apt-get install -y --no-install-recommends ${missing.join(' ')}`;
  const isRoot = process.getuid?.() === 0;
  const sudo = !isRoot && probe('sudo', ['-n', 'true'])?.code === 0;
  if (!probe('apt-get', ['--version']) || !(isRoot || sudo)) {
    fail(
      `These system packages are missing: ${missing.join(', ')}.`,
      `On Debian or Ubuntu:  sudo apt-get update && sudo ${command}\n` +
        'Elsewhere: a C++17 compiler, CMake >= 3.18, make or ninja, and oneDNN 2.6 or 3.x with its headers.',
    );
  }
  step(`Installing system packages: ${missing.join(', ')}`);
  const prefix = sudo ? ['sudo', '-n'] : [];
  const env = { ...process.env, DEBIAN_FRONTEND: 'noninteractive' };
  for (const line of ['apt-get update', command]) {
    const [program, ...args] = [...prefix, ...line.split(' ')];
    run(program, args, { env });
  }
}

function installNpmPackages() {
  const lock = createHash('sha256')
    .update(readFileSync(join(root, 'package-lock.json')))
    .digest('hex');
  const stamp = join(root, 'node_modules', '.acd-lock');
  if (existsSync(stamp) && readFileSync(stamp, 'utf8') === lock) return;
  step('Installing npm packages');
  // No package of ours needs an install script, and none is trusted to run one.
  run('npm', ['ci', '--ignore-scripts', '--no-audit', '--no-fund']);
  writeFileSync(stamp, lock);
}

checkNode();
installSystemPackages();
installNpmPackages();
step('Building');
run(process.execPath, ['scripts/build-assets.mjs']);
run('npx', ['--no-install', 'tsc', '-p', 'tsconfig.build.json']);
run(process.execPath, ['scripts/build-native.mjs', ...(withTests ? ['--tests'] : [])]);
