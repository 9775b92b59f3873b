// The CUDA backend on a machine without a GPU: compiles and links libacd_cuda.so for every
// architecture, then asks the addon what it finds. Compiler, headers and libraries come from the
// machine where it has them, else from Python's wheels, into a folder under build/.
//
//   node scripts/check-cuda.mjs          exit code 77: what is needed cannot be had here
import { existsSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { fail, probe, root, run, step } from './lib.mjs';

const WHEELS = ['nvidia-cublas', 'nvidia-cudnn-cu13'];
const COMPILER = [
  'nvidia-cuda-nvcc',
  'nvidia-cuda-runtime',
  'nvidia-cuda-crt',
  'nvidia-cuda-cccl',
  'nvidia-nvvm',
];
const jobs = process.env.ACD_BUILD_JOBS ?? '2';
const venv = join(root, 'build', 'cuda-venv');
const build = join(root, 'build', 'cuda');

function unavailable(message) {
  process.stderr.write(`The CUDA backend was not checked: ${message}\n`);
  process.exit(77);
}

/** The wheels' folder `nvidia` in an environment of our own. */
function wheels() {
  const python = join(venv, 'bin', 'python3');
  if (!existsSync(python)) {
    const make = () => probe('python3', ['-m', 'venv', venv]);
    let made = make();
    if (made?.code !== 0 && process.getuid?.() === 0) {
      probe('apt-get', ['update']);
      probe('apt-get', ['install', '-y', '--no-install-recommends', 'python3-venv']);
      made = make();
    }
    if (made?.code !== 0) unavailable(`python3 -m venv: ${made?.output ?? 'there is no python3'}`);
  }
  const hasCompiler = /release 1[3-9]\./.test(probe('nvcc', ['--version'])?.output ?? '');
  const wanted = hasCompiler ? WHEELS : [...WHEELS, ...COMPILER];
  step(`Installing ${wanted.join(', ')}`);
  const installed = probe(python, ['-m', 'pip', 'install', '--quiet', '--retries', '1', ...wanted]);
  if (installed?.code !== 0) unavailable(`pip install: ${installed?.output}`);
  const lib = join(venv, 'lib');
  const version = readdirSync(lib).find((name) => name.startsWith('python3'));
  return join(lib, version, 'site-packages', 'nvidia');
}

const folder = wheels();
step('Compiling and linking libacd_cuda.so');
const options = ['-DACD_ADDON=OFF', '-DACD_TESTS=OFF', '-DACD_CUDA=on', '-DACD_GPU_CHECK=ON'];
run('cmake', ['-S', root, '-B', build, ...options, `-DACD_CUDA_WHEELS=${folder}`]);
run('cmake', ['--build', build, '--parallel', jobs]);

step('Asking what it finds');
const asked = probe(process.execPath, [join(root, 'dist/cli/main.js'), 'inspect', '--json'], {
  env: {
    ...process.env,
    VIRTUAL_ENV: venv,
    ACD_CUDA_PLUGIN: join(build, 'libacd_cuda.so'),
  },
});
if (asked?.code !== 0) fail(`acd-clip inspect failed: ${asked?.output}`);
const { cuda, devices } = JSON.parse(asked.output);
process.stderr.write(`${JSON.stringify(cuda, null, 2)}\n`);
const expected = (what, ok) => ok || fail(`The backend's answer is wrong: ${what}`);
const found = Object.fromEntries(cuda.libraries.map((l) => [l.name, l]));
expected('the plugin', cuda.plugin.endsWith('libacd_cuda.so'));
expected('its build', /sm_80 sm_86 sm_89 sm_90a/.test(cuda.built));
expected('cuBLASLt of the wheels', found.cuBLASLt?.usable && found.cuBLASLt.version !== '');
expected('cuDNN of the wheels', found.cuDNN?.usable && found.cuDNN.version !== '');
const driver = found['NVIDIA driver'];
if (driver?.usable) {
  expected('devices', devices.length > 1);
} else {
  expected('a reason', /driver/.test(cuda.reason) && cuda.reason === driver?.reason);
  expected('no device', devices.length === 2 && devices[1].available === false);
  // The program of scripts/gpu-check.sh links, starts and says why it cannot go on.
  const check = probe(join(build, 'acd_gpu_check'), ['ops'], {
    env: { ...process.env, ACD_CUDA_PLUGIN: join(build, 'libacd_cuda.so') },
  });
  const why = 'Device cuda:0 cannot be used: the NVIDIA driver';
  expected('acd_gpu_check', check?.code === 1 && check.output.includes(why));
}
step('The CUDA backend compiles, links and answers');
