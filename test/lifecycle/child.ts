// Runs a script in a process of its own: a crash, an abort or a hang of it is a failed test.
import { spawn } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import * as path from 'node:path';
import { NARROW } from '../helpers/models';
import { type TinySizes, writeTinyModel } from '../helpers/tiny-model';

const ROOT = path.join(__dirname, '../..');

/** What every script finds: the library, a tiny model's path, a picture, and a way to answer. */
const PRELUDE = `
require(${JSON.stringify(path.join(__dirname, 'register.cjs'))});
const lib = (name) => require(${JSON.stringify(path.join(ROOT, 'lib'))} + '/' + name);
const file = process.env.ACD_TEST_MODEL;
const picture = (seed = 1, side = 40) => ({
  data: Uint8Array.from({ length: side * side * 3 }, (_, i) => (i * (7 + seed)) % 251),
  width: side, height: side, channels: 3,
});
const load = (o = {}) => lib('acd-clip').AcdClip.load({ bundle: file, threads: 2, ...o });
const NUT = { className: 'nut' };
const sleep = (ms) => new Promise((resolve) => setTimeout(resolve, ms));
const answer = (value) => require('node:fs').writeSync(1, '\\n@' + JSON.stringify(value) + '\\n');
const bf16 = () => lib('binding').native().listDevices()[0].precisions.find((p) => p.name === 'bf16');
// In the precision that users get by default.
const specOf = async () => {
  const { planModel, readCheckpoint } = lib('checkpoint');
  const { files, tensors, config, identity } = planModel({ bundle: await readCheckpoint(file) });
  const precision = bf16().available ? 'bf16' : 'fp32';
  return { files, tensors, config, precision, shareKey: identity, threads: 2, queueLimit: 64 };
};
const jobOf = (config) => ({
  pixels: picture().data, width: 40, height: 40,
  text: new Float32Array(config.groups * config.embedDim * 2).map((_, i) => Math.sin(i) / 8),
  blurTaps: 7, blurSigma: 1, mapWeight: 0.1, map: 'model',
});
`;

export interface Outcome {
  code: number | null;
  signal: string | null;
  /** What the script answered, in order. */
  // biome-ignore lint/suspicious/noExplicitAny: JSON of another process
  answers: any[];
  stderr: string;
  ms: number;
}

export interface RunOptions {
  execArgv?: string[];
  env?: Record<string, string>;
  timeoutMs?: number;
}

/** A tiny model for children to load, and the way to run them. */
export function children(sizes: Partial<TinySizes> = NARROW) {
  const folder = mkdtempSync(path.join(tmpdir(), 'acd-lifecycle-'));
  let file: string;
  beforeAll(async () => {
    file = await writeTinyModel(folder, sizes);
  });
  afterAll(() => rmSync(folder, { recursive: true, force: true }));

  return (script: string, o: RunOptions = {}): Promise<Outcome> => {
    const t0 = performance.now();
    const code = `${PRELUDE}\n(async () => {${script}\n})().catch((e) => { console.error(e); process.exit(70); });`;
    const child = spawn(process.execPath, [...(o.execArgv ?? []), '-e', code], {
      cwd: ROOT,
      env: { ...process.env, MALLOC_ARENA_MAX: '2', ...o.env, ACD_TEST_MODEL: file },
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    let stdout = '';
    let stderr = '';
    child.stdout.on('data', (d) => {
      stdout += d;
    });
    child.stderr.on('data', (d) => {
      stderr += d;
    });
    const timer = setTimeout(() => child.kill('SIGKILL'), o.timeoutMs ?? 45_000);
    return new Promise((resolve) => {
      child.on('close', (exit, signal) => {
        clearTimeout(timer);
        const answers = stdout
          .split('\n')
          .filter((line) => line.startsWith('@'))
          .map((line) => JSON.parse(line.slice(1)));
        resolve({ code: exit, signal, answers, stderr, ms: performance.now() - t0 });
      });
    });
  };
}

/** The outcome of a script that ended well by itself; its first answer. */
// biome-ignore lint/suspicious/noExplicitAny: JSON of another process
export function fine(outcome: Outcome): any {
  const { code, signal, stderr } = outcome;
  if (code !== 0 || signal !== null) {
    throw new Error(`The script ended with ${code ?? signal}: ${stderr.slice(0, 3000)}`);
  }
  return outcome.answers[0];
}
