// Builds the addon with cmake-js into build/Release/acd_clip.node.
//
//   node scripts/build-native.mjs [--tests]      --tests: also build/acd_tests (needs doctest)
import { createRequire } from 'node:module';
import { root, run } from './lib.mjs';

const cmakeJs = createRequire(import.meta.url).resolve('cmake-js/bin/cmake-js');
const jobs = process.env.ACD_BUILD_JOBS ?? '2';
const args = ['--out', 'build', '--log-level', 'warn'];
// A plain build leaves the tests' setting of an earlier one alone.
if (process.argv.includes('--tests')) args.push('--CDACD_TESTS=ON');
// Always configured: new options and new files count, and a broken first attempt mends itself.
run(process.execPath, [cmakeJs, 'configure', ...args], { cwd: root });
run(process.execPath, [cmakeJs, 'build', ...args, '--parallel', jobs], { cwd: root });
