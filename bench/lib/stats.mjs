// Medians, spreads and tables.

/** @param {number[]} values */
export function summarise(values) {
  const sorted = [...values].sort((a, b) => a - b);
  const at = (q) => {
    const x = q * (sorted.length - 1);
    const low = Math.floor(x);
    return sorted[low] + (sorted[Math.ceil(x)] - sorted[low]) * (x - low);
  };
  const median = at(0.5);
  return {
    n: sorted.length,
    median,
    min: sorted[0],
    max: sorted.at(-1),
    q1: at(0.25),
    q3: at(0.75),
    p99: at(0.99),
    /** (max - min) / median: above some 0.1 the machine was busy. */
    spread: (sorted.at(-1) - sorted[0]) / median,
  };
}

/** Times `run` until `seconds` have passed and at least `least` runs were made, after one warm-up. */
export function sample(run, { seconds = 1, least = 5, most = 200 } = {}) {
  run();
  const times = [];
  const end = performance.now() + 1000 * seconds;
  while (times.length < least || (performance.now() < end && times.length < most)) {
    const start = performance.now();
    run();
    times.push(performance.now() - start);
  }
  return summarise(times);
}

export function fixed(value, digits = 2) {
  return value === undefined || Number.isNaN(value) ? '-' : value.toFixed(digits);
}

export function percent(fraction, digits = 0) {
  return fraction === undefined ? '-' : `${(100 * fraction).toFixed(digits)} %`;
}

/** A Markdown table; the first column is left-aligned, the others right. */
export function table(header, rows) {
  const cells = [header, ...rows].map((row) => row.map(String));
  const widths = header.map((_, i) => Math.max(3, ...cells.map((row) => row[i].length)));
  const line = (row) =>
    `| ${row.map((cell, i) => (i ? cell.padStart(widths[i]) : cell.padEnd(widths[i]))).join(' | ')} |`;
  const rule = `| ${widths.map((w, i) => (i ? `${'-'.repeat(w - 1)}:` : '-'.repeat(w))).join(' | ')} |`;
  return [line(cells[0]), rule, ...cells.slice(1).map(line)].join('\n');
}
