// The native tests under AddressSanitizer and UndefinedBehaviorSanitizer, and those with threads
// under ThreadSanitizer. Needs g++, CMake, oneDNN and doctest (npm test installs them).
import { join } from 'node:path';
import { root, run, runTwoByTwo, step } from './lib.mjs';

const jobs = process.env.ACD_BUILD_JOBS ?? '2';
const BUILDS = [
  { name: 'asan', sanitizers: 'address,undefined', files: '' },
  // Only these are compiled: nothing else has threads of its own.
  {
    name: 'tsan',
    sanitizers: 'thread',
    files: 'thread_team_test|session_test|model_store_test',
  },
];

for (const { name, sanitizers, files } of BUILDS) {
  step(`Building the native tests for ${sanitizers}`);
  const folder = join(root, 'build', name);
  const options = [
    '-DACD_ADDON=OFF',
    '-DACD_TESTS=ON',
    `-DACD_SANITIZE=${sanitizers}`,
    `-DACD_TEST_FILES=${files}`,
  ];
  run('cmake', ['-S', root, '-B', folder, '-DCMAKE_BUILD_TYPE=Release', ...options], {
    stdio: 'ignore',
  });
  run('cmake', ['--build', folder, '--target', 'acd_tests', '--parallel', jobs], {
    stdio: ['ignore', 'ignore', 'inherit'],
  });
}

step('Running them');
const quiet = ['--no-colors', '--minimal'];
const suite = (name, args = [], settings = {}) => ({
  name,
  command: join(root, 'build', name, 'acd_tests'),
  args: [...quiet, ...args],
  env: { ...process.env, ...settings },
});
const suites = [
  // The CUDA kernels on the emulator, which switches stacks: ThreadSanitizer does not follow that.
  // Repeats of a shape in other orders and lengths show the sanitizer nothing new.
  suite('asan', ['--test-case-exclude=*on any*threads*,*every small*'], {
    ACD_TEST_DEVICE: 'cuda-emulated',
  }),
  suite('asan'),
  suite('tsan'),
];
let failed = false;
await runTwoByTwo(suites, ({ name, env }, { code, stdout, stderr }) => {
  process.stderr.write(`${name}, ${env.ACD_TEST_DEVICE ?? 'cpu'}:\n${stdout}${stderr}`);
  failed ||= code !== 0;
});
process.exit(failed ? 1 : 0);
