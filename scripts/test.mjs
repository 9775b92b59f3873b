// npm test: sets everything up, then runs every suite and adds up their counts.
//
//   npm test                    all suites
//   npm test -- PATTERN ...     only the Jest tests whose path matches
import { spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { root, run, runTwoByTwo, step } from './lib.mjs';

const patterns = process.argv.slice(2);
run(process.execPath, ['scripts/setup.mjs', '--tests']);

const BY_ONEDNN = 'bf16 by oneDNN';
const total = { passed: 0, failed: 0, skipped: 0 };
let broken = false;

function jest() {
  step('JavaScript tests');
  const report = join(tmpdir(), `acd-jest-${process.pid}.json`);
  const args = ['--no-install', 'jest', '--json', `--outputFile=${report}`, ...patterns];
  const done = spawnSync('npx', args, { cwd: root, stdio: 'inherit' });
  const counts = JSON.parse(readFileSync(report, 'utf8'));
  total.passed += counts.numPassedTests;
  total.failed += counts.numFailedTests + counts.numRuntimeErrorTestSuites;
  total.skipped += counts.numPendingTests + counts.numTodoTests;
  broken ||= done.status !== 0;
}

// CTest counts a program as one test; the cases inside are what doctest counts.
async function native() {
  step('Native tests, at every instruction set that this processor has, and of the CUDA kernels');
  // The longest first: two run at a time, each mostly on one thread.
  const runs = {
    'CUDA, emulated': { ACD_TEST_DEVICE: 'cuda-emulated' },
    [BY_ONEDNN]: { ACD_CLIP_BF16: 'onednn' },
    avx512_bf16: { ACD_CLIP_ISA: 'avx512_bf16' },
    avx512_vnni: { ACD_CLIP_ISA: 'avx512_vnni' },
    avx512: { ACD_CLIP_ISA: 'avx512' },
    avx2: { ACD_CLIP_ISA: 'avx2' },
    baseline: { ACD_CLIP_ISA: 'baseline' },
  };
  const suites = Object.entries(runs).map(([name, settings]) => ({
    name,
    command: join(root, 'build', 'acd_tests'),
    // The only ops with products by oneDNN.
    args: [
      '--no-colors',
      ...(name === BY_ONEDNN ? ['--source-file=*ops/linear/*,*ops/head/*'] : []),
    ],
    env: { ...process.env, ...settings },
  }));
  await runTwoByTwo(suites, ({ name }, { code, stdout, stderr }) => {
    if (code === 77) {
      process.stderr.write(`${name}: skipped, ${stderr}`);
      total.skipped += 1;
      return;
    }
    const counts = /test cases:\s+\d+ \|\s+(\d+) passed \|\s+(\d+) failed/.exec(stdout);
    if (!counts || code !== 0) process.stderr.write(`${stdout}${stderr}`);
    total.passed += Number(counts?.[1] ?? 0);
    total.failed += Number(counts?.[2] ?? 1);
    broken ||= code !== 0 || !counts;
    process.stderr.write(`${name}: ${counts?.[1]} passed, ${counts?.[2]} failed\n`);
  });
}

jest();
if (patterns.length === 0) await native();
const skipped = total.skipped ? `, ${total.skipped} skipped` : '';
process.stdout.write(`\n${total.passed} passed, ${total.failed} failed${skipped}\n`);
process.exit(broken || total.failed > 0 ? 1 : 0);
