// The native tests under AddressSanitizer and UndefinedBehaviorSanitizer, and those with threads
// under ThreadSanitizer. Needs g++, CMake, oneDNN and doctest (npm test installs them).
import { join } from 'node:path';
import { root, run, step } from './lib.mjs';

const jobs = process.env.ACD_BUILD_JOBS ?? '2';
const BUILDS = [
  { name: 'asan', sanitizers: 'address,undefined', filter: [] },
  {
    name: 'tsan',
    sanitizers: 'thread',
    filter: ['--source-file=*thread_team_test*,*session_test*,*model_store_test*'],
  },
];

for (const { name, sanitizers, filter } of BUILDS) {
  step(`Native tests under ${sanitizers}`);
  const folder = join(root, 'build', name);
  const options = ['-DACD_ADDON=OFF', '-DACD_TESTS=ON', `-DACD_SANITIZE=${sanitizers}`];
  run('cmake', ['-S', root, '-B', folder, '-DCMAKE_BUILD_TYPE=Release', ...options], {
    stdio: 'ignore',
  });
  run('cmake', ['--build', folder, '--target', 'acd_tests', '--parallel', jobs], {
    stdio: ['ignore', 'ignore', 'inherit'],
  });
  run(join(folder, 'acd_tests'), ['--no-colors', '--minimal', ...filter]);
  // The CUDA kernels on the emulator, which switches stacks: ThreadSanitizer does not follow that.
  if (name === 'asan') {
    const env = { ...process.env, ACD_TEST_DEVICE: 'cuda-emulated' };
    // Repeats of a shape in other orders and lengths show the sanitizer nothing new.
    const repeats = '--test-case-exclude=*on any*threads*,*every small*';
    run(join(folder, 'acd_tests'), ['--no-colors', '--minimal', repeats], { env });
  }
}
