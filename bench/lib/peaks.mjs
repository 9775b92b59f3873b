// The machine's ceilings, measured by bench/peaks/peaks.cc: multiply-adds out of registers, copying.
import { execFileSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import * as path from 'node:path';
import { Child } from './child.mjs';
import { summarise } from './stats.mjs';

const BUILD = path.join(import.meta.dirname, '../../build');

/** What acd_peaks can be asked for, and the unit of its answer. */
export const UNITS = { fp32: 'GFLOP/s', bf16: 'GFLOP/s', int8: 'GOP/s', copy: 'GB/s' };

export class Peaks {
  #child;
  #taken = new Map();

  /** Builds the program where it is missing or old; the addon must have been built before. */
  constructor(threads, seconds = 0.15) {
    if (!existsSync(path.join(BUILD, 'CMakeCache.txt'))) {
      throw new Error('Expected a built addon: npm run build');
    }
    execFileSync('cmake', ['--build', BUILD, '--target', 'acd_peaks'], {
      stdio: ['ignore', 'ignore', 'inherit'],
    });
    this.threads = threads;
    this.#child = new Child('acd_peaks', path.join(BUILD, 'acd_peaks'), [
      String(threads),
      String(seconds),
    ]);
  }

  /** Measures some peaks once more; a machine's clock drifts, so take them beside what they bound. */
  async take(names = Object.keys(UNITS)) {
    for (const name of names) {
      const { isa, rate, missing } = await this.#child.send(name);
      const seen = this.#taken.get(name) ?? { isa, missing, rates: [] };
      if (rate !== undefined) seen.rates.push(rate);
      this.#taken.set(name, seen);
    }
  }

  /** {name: {isa, unit, median, min, max, n} or {missing}} of everything taken. */
  summary() {
    return Object.fromEntries(
      [...this.#taken].map(([name, { isa, missing, rates }]) => {
        if (missing) return [name, { missing }];
        const { median, min, max, n } = summarise(rates);
        return [name, { isa, unit: UNITS[name], median, min, max, n }];
      }),
    );
  }

  end() {
    return this.#child.end();
  }
}

/** One line: "fp32 216 GFLOP/s (avx512f), ...". */
export function describePeaks(summary) {
  const words = Object.entries(summary).map(([name, p]) =>
    p.missing
      ? `${name}: ${p.missing}`
      : `${name} ${p.median.toFixed(p.median < 100 ? 1 : 0)} ${p.unit} (${p.isa})`,
  );
  return `peaks of this run: ${words.join(', ')}`;
}
