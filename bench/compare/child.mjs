// A process that answers each line of JSON with one line of JSON.
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { createInterface } from 'node:readline';

export class Child {
  #process;
  #lines;

  constructor(name, command, args, threads) {
    this.name = name;
    this.#process = spawn(command, args, {
      stdio: ['pipe', 'pipe', 'inherit'],
      // Whichever runtime a side uses, it gets the same number of threads.
      env: { ...process.env, OMP_NUM_THREADS: String(threads), MKL_NUM_THREADS: String(threads) },
    });
    this.#process.on('error', () => {});
    this.#lines = createInterface({ input: this.#process.stdout })[Symbol.asyncIterator]();
  }

  async ask(what, request = {}) {
    this.#process.stdin.write(`${JSON.stringify({ do: what, ...request })}\n`);
    const { value, done } = await this.#lines.next();
    if (done) throw new Error(`${this.name} ended without an answer to ${what}`);
    const answer = JSON.parse(value);
    if (answer.error) throw new Error(`${this.name}, ${what}: ${answer.error}`);
    return answer;
  }

  async end() {
    if (this.#process.exitCode !== null || this.#process.signalCode !== null) return;
    const gone = once(this.#process, 'exit');
    this.#process.stdin.end();
    await gone;
  }
}
