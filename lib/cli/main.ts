#!/usr/bin/env node
// The process around a command line: its streams, its signals, its exit code.
import { Interrupted } from './exit';
import { run } from './run';

const interruption = new AbortController();
for (const name of ['SIGINT', 'SIGTERM'] as const) {
  // Once: whoever presses Ctrl-C again does not want to wait.
  process.once(name, () => interruption.abort(new Interrupted(name)));
}

run(process.argv.slice(2), {
  // A getter: touching process.stdin opens it.
  get stdin() {
    return process.stdin;
  },
  stdout: process.stdout,
  stderr: process.stderr,
  env: process.env,
  signal: interruption.signal,
}).then((code) => {
  process.exitCode = code;
});
