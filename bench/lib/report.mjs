// What a comparison says: ratios of sides that took turns, targets, and what became worse since an
// earlier run. Pure functions of the results, so that they can be tested without measuring anything.
//
// A side: {key, name, kind: 'ours' | 'peer', precision, rounds: [{round, ms, cpuMs, difference}],
// textMs, loadMs, memory, settings}. `round` numbers are the same on all sides: one picture each.
import { fixed, summarise, table } from './stats.mjs';

/** A change of the paired ratios by less than this is taken for noise. */
export const THRESHOLD = 0.08;

/**
 * How many times as fast as `other` a side is: the ratio of both times of one round, so that a change
 * of the machine's speed between rounds cancels. Undefined without a common round.
 */
export function pairedRatio(side, other) {
  const theirs = new Map(other.rounds.map((r) => [r.round, r.ms]));
  const ratios = side.rounds
    .filter((r) => theirs.has(r.round))
    .map((r) => theirs.get(r.round) / r.ms);
  return ratios.length === 0 ? undefined : summarise(ratios);
}

/** Largest and mean map difference to fp32 over all rounds, and the range of the maps beside it. */
export function mapDifference(side) {
  const all = side.rounds.map((r) => r.difference).filter((d) => d);
  if (all.length === 0) return undefined;
  return {
    max: Math.max(...all.map((d) => d.max)),
    mean: all.reduce((sum, d) => sum + d.mean, 0) / all.length,
    range: Math.max(...all.map((d) => d.range)),
  };
}

export function time(side) {
  return summarise(side.rounds.map((r) => r.ms));
}

/** The fastest of some sides by their median; undefined when none is there. */
export function fastest(sides) {
  return sides.reduce(
    (best, side) => (!best || time(side).median < time(best).median ? side : best),
    undefined,
  );
}

/** The main table, one row a side. A ratio below 1 is a side that is faster than ours. */
export function sidesTable(sides) {
  const ours = sides.filter((s) => s.kind === 'ours');
  const gib = (bytes) => (bytes === undefined ? '-' : (bytes / 2 ** 30).toFixed(2));
  const header = [
    'side',
    's/image',
    'min..max',
    'quartiles',
    ...ours.map((o) => `${o.precision}: ours is`),
    'map diff. mean',
    'largest',
    'CPU s',
    'text ms',
    'load s',
    'peak GiB',
  ];
  const rows = sides.map((s) => {
    const t = time(s);
    const difference = mapDifference(s);
    const seconds = (ms) => fixed(ms / 1000, 2);
    return [
      s.name,
      fixed(t.median / 1000, 3),
      `${seconds(t.min)}..${seconds(t.max)}`,
      `${seconds(t.q1)}..${seconds(t.q3)}`,
      ...ours.map((o) => (s.kind === 'ours' ? '' : ratioCell(pairedRatio(o, s)))),
      difference ? difference.mean.toExponential(1) : '-',
      difference ? difference.max.toExponential(1) : '-',
      fixed(summarise(s.rounds.map((r) => r.cpuMs)).median / 1000, 2),
      s.textMs?.length ? fixed(summarise(s.textMs).median, 0) : '-',
      fixed(s.loadMs / 1000, 1),
      gib(s.memory?.peak),
    ];
  });
  return table(header, rows);
}

function ratioCell(ratio) {
  if (!ratio) return '-';
  return `${fixed(ratio.median)}x${ratio.median < 1 ? ' SLOWER' : ''}`;
}

/** What the project promises for the published size, batch 1, two cores. */
const TARGETS = [
  ['ours-fp32', ['torch-published-fp32'], 2, 'the published code, fp32'],
  ['ours-fp32', ['torch-sdpa-fp32'], 1.2, 'PyTorch with fused attention, fp32'],
  ['ours-bf16', ['torch-compile-bf16'], 1.35, 'torch.compile, bf16'],
  ['ours-bf16', ['torch-published-fp32'], 3.8, 'the published code, fp32'],
  ['ours-int8', ['onnx-python-int8', 'onnx-node-int8'], 1.5, 'onnxruntime, dynamic int8'],
  ['ours-int8', ['torch-published-fp32'], 6, 'the published code, fp32'],
];
const DIFFERENCE_TARGET = 0.005;

/** [{what, measured, target, reached}]; `reached` is undefined where a side was not measured. */
export function targets(sides) {
  const side = (key) => sides.find((s) => s.key === key && s.rounds.length > 0);
  const speeds = TARGETS.map(([key, peers, least, name]) => {
    const ours = side(key);
    const peer = fastest(peers.map(side).filter((s) => s));
    const ratio = ours && peer && pairedRatio(ours, peer);
    return {
      what: `${key.slice(5)} against ${name}`,
      measured: ratio ? `${fixed(ratio.median)}x` : 'not measured',
      target: `>= ${least}x`,
      reached: ratio && ratio.median >= least,
    };
  });
  const differences = ['ours-bf16', 'ours-int8'].map((key) => {
    const difference = side(key) && mapDifference(side(key));
    return {
      what: `${key.slice(5)}, mean map difference to fp32`,
      measured: difference ? difference.mean.toExponential(1) : 'not measured',
      target: `<= ${DIFFERENCE_TARGET}`,
      reached: difference && difference.mean <= DIFFERENCE_TARGET,
    };
  });
  return [...speeds, ...differences];
}

export function targetsTable(all) {
  const word = { true: 'reached', false: 'NOT reached', undefined: '-' };
  return table(
    ['target', 'measured', 'wanted', ''],
    all.map((t) => [t.what, t.measured, t.target, word[t.reached]]),
  );
}

/**
 * Ours against an earlier run, by the peers that both runs have: [{key, change, peers, worse, why}].
 * `change` is the median over the peers of (paired ratio now / then), so a slower machine is no
 * regression and one peer's new version moves it little. Worse: change < 1 - threshold, a map
 * further from fp32 (twice, and by 1e-6 or more), or a precision that is gone.
 */
export function compareRuns(old, now, threshold = THRESHOLD) {
  return old
    .filter((s) => s.kind === 'ours' && s.rounds.length > 0)
    .map((before) => {
      const after = now.find((s) => s.key === before.key && s.rounds.length > 0);
      if (!after) return { key: before.key, worse: true, why: 'no longer measured', peers: 0 };
      const changes = old.flatMap((peer) => {
        const same = now.find((s) => s.key === peer.key && s.kind === 'peer');
        const then = same && pairedRatio(before, peer);
        const here = same && pairedRatio(after, same);
        return then && here ? [here.median / then.median] : [];
      });
      const change = changes.length ? summarise(changes).median : undefined;
      const [was, is] = [mapDifference(before)?.mean, mapDifference(after)?.mean];
      const drifted = was !== undefined && is > 2 * was && is - was > 1e-6;
      const slower = change !== undefined && change < 1 - threshold;
      const why = [
        ...(slower ? [`slower by more than ${Math.round(100 * threshold)} %`] : []),
        ...(drifted
          ? [`map difference ${was.toExponential(1)} became ${is.toExponential(1)}`]
          : []),
        ...(change === undefined ? ['no common peer: speed cannot be compared'] : []),
      ].join('; ');
      return { key: before.key, change, peers: changes.length, worse: slower || drifted, why };
    });
}

export function comparisonTable(changes) {
  return table(
    ['against the earlier run', 'speed, by the peers', 'peers', ''],
    changes.map((c) => [
      c.key,
      c.change === undefined ? '-' : `${fixed(c.change, 3)}x`,
      c.peers,
      `${c.worse ? 'WORSE: ' : ''}${c.why || 'no change beyond noise'}`,
    ]),
  );
}

/** Adds the rounds of an earlier file of the same comparison, numbered before the new ones. */
export function joinRuns(old, now) {
  return now.map((side) => {
    const before = old.find((s) => s.key === side.key);
    if (!before) return side;
    return {
      ...side,
      rounds: [...before.rounds, ...side.rounds],
      textMs: [...(before.textMs ?? []), ...(side.textMs ?? [])],
    };
  });
}
