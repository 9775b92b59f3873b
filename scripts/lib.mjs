// What the scripts share. Node's own modules only: setup runs before npm ci.
import { spawn, spawnSync } from 'node:child_process';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

export const root = join(dirname(fileURLToPath(import.meta.url)), '..');

/** Runs a command in the project's root with its output shown; ends this process when it fails. */
export function run(command, args, options = {}) {
  const done = spawnSync(command, args, { cwd: root, stdio: 'inherit', ...options });
  if (done.error) fail(`${command} cannot be started: ${done.error.message}`);
  if (done.status !== 0) process.exit(done.status ?? 1);
}

/** Exit code and output of a command; undefined when it does not exist. */
export function probe(command, args, options = {}) {
  const done = spawnSync(command, args, { cwd: root, encoding: 'utf8', ...options });
  return done.error ? undefined : { code: done.status, output: `${done.stdout}${done.stderr}` };
}

/** Runs { command, args, env } side by side, two at a time, and calls done(it, { code, stdout, stderr }) as each ends. */
export async function runTwoByTwo(commands, done) {
  const waiting = [...commands];
  const worker = async () => {
    for (let next = waiting.shift(); next; next = waiting.shift()) done(next, await output(next));
  };
  await Promise.all([worker(), worker()]);
}

function output({ command, args, env }) {
  const child = spawn(command, args, { cwd: root, env, stdio: ['ignore', 'pipe', 'pipe'] });
  const text = { stdout: '', stderr: '' };
  for (const name of ['stdout', 'stderr']) {
    child[name].setEncoding('utf8').on('data', (d) => {
      text[name] += d;
    });
  }
  return new Promise((resolve) => {
    child.on('error', (error) => resolve({ ...text, code: 1, stderr: error.message }));
    child.on('close', (code) => resolve({ ...text, code }));
  });
}

export function fail(message, help) {
  process.stderr.write(`\n${message}\n${help ? `${help}\n` : ''}`);
  process.exit(1);
}

export function step(message) {
  process.stderr.write(`\n== ${message}\n`);
}
