// What a figure was measured on.
import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import os from 'node:os';
import { getRuntimeInfo } from '../../lib/index.mjs';

/** @param {number} [threads] of the measurement */
export function machine(threads) {
  const info = getRuntimeInfo();
  return {
    cpu: info.native.cpu || os.cpus()[0]?.model || 'unknown',
    cpus: info.native.cpus,
    ...(threads === undefined ? {} : { threads }),
    memoryGiB: Math.round(os.totalmem() / 2 ** 30),
    isa: info.native.isa + (info.native.isaForced ? ' (forced)' : ''),
    package: info.version,
    commit: commit(),
    onednn: `${info.native.onednn} (${info.native.onednnIsa})`,
    compiler: info.native.compiler,
    node: info.node,
    platform: info.platform,
    load: os.loadavg()[0],
    date: new Date().toISOString(),
  };
}

export function describeMachine(m) {
  const busy = m.load > 0.5 ? ', so other work ran in the minute before' : '';
  return [
    `${m.cpu}, ${m.cpus} CPUs${m.threads === undefined ? '' : `, ${m.threads} threads`}, ${m.memoryGiB} GiB, ${m.platform}`,
    `acd-clip-native ${m.package} (${m.commit}), kernels ${m.isa}, oneDNN ${m.onednn}, ${m.compiler}, Node ${m.node}`,
    `load average ${m.load.toFixed(2)} at the start${busy}`,
  ].join('\n');
}

function commit() {
  const git = (...args) =>
    execFileSync('git', args, {
      cwd: import.meta.dirname,
      encoding: 'utf8',
      stdio: ['ignore', 'pipe', 'ignore'],
    }).trim();
  try {
    const changed = git(
      'status',
      '--porcelain',
      '--untracked-files=no',
      '../../native',
      '../../lib',
    );
    return git('rev-parse', '--short', 'HEAD') + (changed ? ' with changes' : '');
  } catch {
    return 'no repository';
  }
}

/** Share of all processors that other work takes, 0..1, sampled while this process and its children rest. */
export async function othersShare(ms = 300) {
  const sum = () => {
    const times = os.cpus().map((c) => c.times);
    const all = times.reduce((t, c) => t + c.user + c.nice + c.sys + c.irq + c.idle, 0);
    return { all, idle: times.reduce((t, c) => t + c.idle, 0) };
  };
  const before = sum();
  await new Promise((resolve) => setTimeout(resolve, ms));
  const after = sum();
  return 1 - (after.idle - before.idle) / (after.all - before.all);
}

/** A line about samples of othersShare. */
export function describeOthers(shares) {
  const most = Math.max(...shares);
  const busy = most > 0.1 ? ': BUSY, do not quote it' : '';
  const mean = shares.reduce((a, b) => a + b, 0) / shares.length;
  const percent = (share) => `${Math.round(100 * share)} %`;
  return `other work between the measurements: ${percent(mean)} of the processors, at most ${percent(most)}${busy}`;
}

/** Memory of this process, bytes; undefined where the system does not say. */
export function processMemory() {
  try {
    const status = readFileSync('/proc/self/status', 'utf8');
    const bytes = (key) =>
      Number(new RegExp(`^${key}:\\s+(\\d+) kB`, 'm').exec(status)?.[1]) * 1024;
    return { peak: bytes('VmHWM'), resident: bytes('VmRSS') };
  } catch {
    return { peak: undefined, resident: process.memoryUsage().rss };
  }
}
