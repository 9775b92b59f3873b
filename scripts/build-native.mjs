// Builds the addon with cmake-js (and, with --tests, the native test program) into build/.
import { spawnSync } from 'node:child_process';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

const root = join(dirname(fileURLToPath(import.meta.url)), '..');
const jobs = process.env.ACD_BUILD_JOBS ?? '2';

function run(command, args) {
  const done = spawnSync(command, args, { cwd: root, stdio: 'inherit' });
  if (done.error) throw done.error;
  if (done.status !== 0) process.exit(done.status ?? 1);
}

const cmakeJs = createRequire(import.meta.url).resolve('cmake-js/bin/cmake-js');
const tests = process.argv.includes('--tests') ? 'ON' : 'OFF';
run(process.execPath, [cmakeJs, 'build', '--out', 'build', '--parallel', jobs, `--CDACD_TESTS=${tests}`]);
