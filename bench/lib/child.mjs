// A process that answers each line with one line of JSON.
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { createInterface } from 'node:readline';

export class Child {
  #process;
  #lines;

  /** `environment` is added to this process's own. */
  constructor(name, command, args, environment = {}) {
    this.name = name;
    this.#process = spawn(command, args, {
      stdio: ['pipe', 'pipe', 'inherit'],
      env: { ...process.env, ...environment },
    });
    this.#process.on('error', () => {});
    this.#process.stdin.on('error', () => {});
    this.#lines = createInterface({ input: this.#process.stdout })[Symbol.asyncIterator]();
  }

  /** Writes a line; resolves with the answer, parsed. */
  async send(line) {
    this.#process.stdin.write(`${line}\n`);
    const { value, done } = await this.#lines.next();
    if (done) throw new Error(`${this.name} ended without an answer to ${line.slice(0, 60)}`);
    return JSON.parse(value);
  }

  /** A request by name, as the workers of bench/compare and bench/model read it. */
  async ask(what, request = {}) {
    const answer = await this.send(JSON.stringify({ do: what, ...request }));
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
