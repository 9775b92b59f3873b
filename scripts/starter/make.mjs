// Makes the starter model again, from the generator to the file in assets/:
//
//   node scripts/starter/make.mjs --work DIR [--python PYTHON] [--steps N] [--data DIR]
//     [--no-photographs] [--out FILE]
//
// 1 builds the generator as a library, 2 fetches textures from Debian's archive, 3 trains (restartable:
// the same command goes on where it was cut off), 4 writes FILE (assets/starter.safetensors) and its
// .sha256, 5 evaluates it, on the real sets too with --data. PYTHON needs torch, numpy, pillow and
// safetensors, and torch a C++ compiler; a GPU is used when torch sees one.
import { existsSync, mkdirSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { parseArgs } from 'node:util';
import { fail, probe, root, run, step } from '../lib.mjs';

const text = { type: 'string' };
const { values: o } = parseArgs({
  options: {
    work: text,
    python: { ...text, default: 'python3' },
    steps: text,
    data: text,
    out: { ...text, default: join(root, 'assets', 'starter.safetensors') },
    'no-photographs': { type: 'boolean', default: false },
  },
});
if (!o.work) fail('Say where checkpoints and textures go: --work DIR.');
const work = resolve(o.work);
mkdirSync(work, { recursive: true });
const script = (name) => join('scripts', 'starter', name);

const packages = 'import torch, numpy, PIL, safetensors';
const python = probe(o.python, ['-c', packages]);
if (python?.code !== 0) {
  fail(
    `${o.python} cannot "${packages}".`,
    'Make a virtual environment with torch, numpy, pillow and safetensors, and name its interpreter: --python DIR/bin/python',
  );
}

step('Building the package (its tokenizer and its evaluation are used)');
run(process.execPath, ['scripts/setup.mjs']);

step('Building the generator for this machine');
const library = join(work, 'generator');
const flags = ['-DACD_ADDON=OFF', '-DCMAKE_BUILD_TYPE=Release', '-DCMAKE_CXX_FLAGS=-march=native'];
run('cmake', ['-S', '.', '-B', library, ...flags]);
run('cmake', ['--build', library, '--target', 'acd_datagen', '--parallel', '2']);

const training = [script('train.py'), '--library', join(library, 'libacd_datagen.so')];
if (!o['no-photographs']) {
  const textures = join(work, 'textures.npz');
  if (!existsSync(textures)) {
    step('Fetching textures');
    run(o.python, [script('photographs.py'), work]);
  }
  training.push('--photographs', textures);
}

step('Training');
if (o.steps) training.push('--steps', o.steps);
// Passive: threads that wait must not hold a core that another process could use.
const env = { ...process.env, OMP_WAIT_POLICY: 'passive' };
run(o.python, [...training, '--out', join(work, 'run')], { env });

const bundle = resolve(o.out);
step(`Writing ${bundle}`);
run(o.python, [script('export.py'), '--run', join(work, 'run'), '--out', bundle]);

step('Evaluating');
const data = o.data ? ['--data', resolve(o.data)] : [];
// The cards' tables have the real sets in them and are about the file in assets/.
const shipped = bundle === join(root, 'assets', 'starter.safetensors');
const card = o.data && shipped ? ['--write', 'assets/starter.md', '--write', 'README.md'] : [];
const json = ['--json', join(work, 'evaluation.json')];
run(process.execPath, [script('evaluate.mjs'), '--bundle', bundle, ...data, ...json, ...card]);
