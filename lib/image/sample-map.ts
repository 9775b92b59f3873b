// A score map enlarged or reduced to a picture's size, row by row, so that nothing is held whole.
// Bilinear with half-pixel centres and clamped edges, like resize_map_f32 of the native code.

/** Anomaly scores, height * width values in 0..1, row by row. */
export interface ScoreMap {
  data: Float32Array;
  width: number;
  height: number;
}

/** Positions that one output coordinate reads: lo and hi, mixed by t. */
interface Taps {
  lo: Int32Array;
  hi: Int32Array;
  t: Float32Array;
}

function taps(from: number, to: number): Taps {
  const axis = { lo: new Int32Array(to), hi: new Int32Array(to), t: new Float32Array(to) };
  for (let i = 0; i < to; i++) {
    const at = Math.min(Math.max(((i + 0.5) * from) / to - 0.5, 0), from - 1);
    const lo = Math.floor(at);
    axis.lo[i] = lo;
    axis.hi[i] = Math.min(lo + 1, from - 1);
    axis.t[i] = at - lo;
  }
  return axis;
}

/**
 * Rows of `map` at width x height. A row that was asked for among the last three is not computed
 * again; the array belongs to the sampler. A NaN spreads to the pixels that are mixed with it.
 */
export function rowSampler(
  map: ScoreMap,
  width: number,
  height: number,
): (y: number) => Float32Array {
  const across = taps(map.width, width);
  const down = taps(map.height, height);
  const rows = [0, 1, 2].map(() => new Float32Array(width));
  const held = [-1, -1, -1];
  return (y) => {
    const slot = y % 3;
    const row = rows[slot]!;
    if (held[slot] !== y) {
      held[slot] = y;
      mixRow(map, across, down.lo[y]! * map.width, down.hi[y]! * map.width, down.t[y]!, row);
    }
    return row;
  };
}

function mixRow(
  map: ScoreMap,
  across: Taps,
  upper: number,
  lower: number,
  t: number,
  out: Float32Array,
): void {
  const { data } = map;
  const { lo, hi, t: tx } = across;
  for (let x = 0; x < out.length; x++) {
    const l = lo[x]!;
    const h = hi[x]!;
    const left = mix(data[upper + l]!, data[lower + l]!, t);
    const right = mix(data[upper + h]!, data[lower + h]!, t);
    out[x] = mix(left, right, tx[x]!);
  }
}

/** At t = 0 exactly `a`, also where b - a is not finite. */
function mix(a: number, b: number, t: number): number {
  return t === 0 ? a : a + (b - a) * t;
}
