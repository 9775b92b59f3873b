// Who is compared, how each is started, and why one is missing.
import { execFileSync } from 'node:child_process';
import { existsSync, mkdirSync } from 'node:fs';
import * as path from 'node:path';
import { Child } from '../lib/child.mjs';
import { precisions } from '../lib/precisions.mjs';

const ONNXRUNTIME_NODE = '1.30.0';
const script = (name) => path.join(import.meta.dirname, name);

const TORCH = [
  ['published', 'fp32', 'PyTorch as published, fp32', 'attention weights materialised, eager'],
  ['published', 'bf16', 'PyTorch as published, bf16', 'the same under autocast'],
  ['sdpa', 'fp32', 'PyTorch, fused attention, fp32', 'scaled_dot_product_attention, eager'],
  ['sdpa', 'bf16', 'PyTorch, fused attention, bf16', 'the same, bf16 weights'],
  ['compile', 'fp32', 'torch.compile, fp32', 'the same, frozen weights, max_autotune'],
  ['compile', 'bf16', 'torch.compile, bf16', 'the same, bf16 weights, frozen, max_autotune'],
];
const ONNX = [
  ['fp32', 'fused attention node, all optimisations'],
  ['int8', 'the same, dynamic int8, a scale per column'],
];

/**
 * Starts every side of `wanted` keys (all when undefined) that can be had. Returns {sides, missing}:
 * sides are {key, name, kind, precision, settings, child, load}, `load` being what the child's load
 * request holds; missing are {key, name, reason}.
 */
export async function startSides({ wanted, python, cache, size, bundle, threads }) {
  const all = [...(await ours(cache)), ...torch(python), ...onnx(python, cache, size, bundle)];
  const chosen = all.filter((s) => !wanted || wanted.includes(s.key));
  const unknown = wanted?.filter((key) => !all.some((s) => s.key === key)) ?? [];
  if (unknown.length > 0) {
    throw new Error(
      `Expected some of ${all.map((s) => s.key).join(', ')} for --sides but received ${unknown}`,
    );
  }
  // Whichever runtime a side uses, it gets the same number of threads.
  const environment = { OMP_NUM_THREADS: String(threads), MKL_NUM_THREADS: String(threads) };
  const started = { sides: [], missing: [] };
  for (const side of chosen) {
    const reason = side.missing?.();
    if (reason) {
      started.missing.push({ key: side.key, name: side.name, reason });
      continue;
    }
    const child = new Child(side.name, side.command, side.args, environment);
    started.sides.push({ ...side, child, load: { bundle, config: size, ...side.load } });
  }
  return started;
}

async function ours(cache) {
  return (await precisions(cache)).map(({ precision, reason }) => ({
    key: `ours-${precision}`,
    name: `acd-clip-native, ${precision}`,
    kind: 'ours',
    precision,
    settings: '',
    missing: () => reason,
    command: process.execPath,
    args: [script('ours.mjs')],
    load: { precision },
  }));
}

function torch(python) {
  const reason = () => lacks(python, 'torch, safetensors, PIL, numpy');
  return TORCH.map(([variant, dtype, name, settings]) => ({
    key: `torch-${variant}-${dtype}`,
    name,
    kind: 'peer',
    precision: dtype,
    settings,
    missing: reason,
    command: python,
    args: [
      script('torch_peer.py'),
      ...['--variant', variant, '--dtype', dtype],
      ...(variant === 'compile' ? ['--autotune'] : []),
    ],
  }));
}

function onnx(python, cache, size, bundle) {
  const folder = path.join(
    cache,
    `onnx-${path.basename(bundle, '.safetensors')}-${size.imageSize}`,
  );
  const model = (precision) => path.join(folder, precision, 'model.onnx');
  const exported = once(() => exportModel(python, folder, size, bundle));
  const installed = once(() => installNode(path.join(cache, 'onnxruntime-node')));
  return ONNX.flatMap(([precision, settings]) => [
    {
      key: `onnx-python-${precision}`,
      name: `onnxruntime (Python), ${precision}`,
      kind: 'peer',
      precision,
      settings,
      missing: () => lacks(python, 'onnxruntime, PIL, numpy') ?? exported(),
      command: python,
      args: [script('onnx_peer.py')],
      load: { model: model(precision) },
    },
    {
      key: `onnx-node-${precision}`,
      name: `onnxruntime-node, ${precision}`,
      kind: 'peer',
      precision,
      settings,
      missing: () => exported() ?? installed(),
      command: process.execPath,
      args: [script('onnx_peer.mjs'), path.join(cache, 'onnxruntime-node')],
      load: { model: model(precision) },
    },
  ]);
}

function once(work) {
  let result;
  return () => {
    result ??= { reason: work() };
    return result.reason;
  };
}

function lacks(python, modules) {
  try {
    execFileSync(python, ['-c', `import ${modules}`], { stdio: ['ignore', 'ignore', 'pipe'] });
  } catch (error) {
    return lastLine(error, `${python} does not import ${modules}`);
  }
}

function exportModel(python, folder, size, bundle) {
  if (['fp32', 'int8'].every((precision) => existsSync(path.join(folder, precision)))) return;
  const reason = lacks(python, 'torch, onnx, onnxscript, onnxruntime, safetensors');
  if (reason) return `cannot be exported: ${reason}`;
  console.log('exporting the model for onnxruntime, once');
  const args = ['--bundle', bundle, '--config', JSON.stringify(size), '--out', folder];
  try {
    execFileSync(python, [script('export_onnx.py'), ...args], {
      stdio: ['ignore', 'ignore', 'pipe'],
    });
  } catch (error) {
    return `cannot be exported: ${lastLine(error, 'the export failed')}`;
  }
}

/** 290 MB on disk, most of it other platforms' binaries: no dependency of the package, not even of its tests. */
function installNode(folder) {
  if (existsSync(path.join(folder, 'node_modules/onnxruntime-node/package.json'))) return;
  mkdirSync(folder, { recursive: true });
  const name = `onnxruntime-node@${ONNXRUNTIME_NODE}`;
  console.log(`installing ${name} into ${folder}, once`);
  // Its install script would only fetch CUDA libraries.
  const args = ['install', '--prefix', folder, '--ignore-scripts', '--no-audit', '--no-fund', name];
  try {
    execFileSync('npm', args, { stdio: ['ignore', 'ignore', 'pipe'] });
  } catch (error) {
    return `cannot be installed: ${lastLine(error, 'npm failed')}`;
  }
}

function lastLine(error, otherwise) {
  const lines = String(error.stderr ?? '')
    .trim()
    .split('\n');
  return error.code === 'ENOENT' ? error.message : lines.at(-1) || otherwise;
}
