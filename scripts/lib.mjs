// What the scripts share. Node's own modules only: setup runs before npm ci.
import { spawnSync } from 'node:child_process';
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

export function fail(message, help) {
  process.stderr.write(`\n${message}\n${help ? `${help}\n` : ''}`);
  process.exit(1);
}

export function step(message) {
  process.stderr.write(`\n== ${message}\n`);
}
