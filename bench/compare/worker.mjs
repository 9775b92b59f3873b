// What the Node sides of bench/compare share: a loop that answers each line of JSON with one line.
import { writeFileSync } from 'node:fs';
import { createInterface } from 'node:readline';
import { processMemory } from '../lib/machine.mjs';

/** Answers requests {do: name, ...} by calling sides[name](request) until standard input ends. */
export async function serve(side) {
  for await (const line of createInterface({ input: process.stdin })) {
    const { do: what, ...request } = JSON.parse(line);
    let answer;
    try {
      answer = what === 'memory' ? processMemory() : await side[what](request);
    } catch (error) {
      answer = { error: `${error.name}: ${error.message}` };
    }
    process.stdout.write(`${JSON.stringify(answer)}\n`);
  }
}

export function saveFloats(file, { buffer, byteOffset, byteLength }) {
  writeFileSync(file, new Uint8Array(buffer, byteOffset, byteLength));
}

/** Runs `work` and says what it took, in milliseconds: of the clock, and of all processors. */
export async function timed(work) {
  const cpu = process.cpuUsage();
  const start = performance.now();
  const result = await work();
  const ms = performance.now() - start;
  const { user, system } = process.cpuUsage(cpu);
  return { result, ms, cpuMs: (user + system) / 1000 };
}
