// Where the time of one picture goes: the stages that detect(image, {stages: true}) times, by the
// names of the model's parts, with the work that each does. Letters as in docs: T tokens, D width.

const HEAD = 64;

/**
 * [{name, calls, ms, gflop, gbytes, kind}] of one picture, largest time first. `timing` is a
 * detection's; `c` the sizes by the names of ModelConfig. Work and traffic are what the operation
 * must do and move in fp32, or undefined where that is not worth a rate. What is left of the
 * computation and the parts outside it come last, so that the times add up to `wallMs`.
 */
export function profileOf(timing, c, wallMs) {
  const stages = new Map();
  for (const s of timing.stages) {
    const { name, kind, gflop, gbytes } = describe(s, c);
    const seen = stages.get(name) ?? { name, kind, calls: 0, ms: 0, gflop: 0, gbytes: 0 };
    seen.calls += s.calls;
    seen.ms += s.ms;
    seen.gflop += gflop ?? 0;
    seen.gbytes += gbytes ?? 0;
    stages.set(name, seen);
  }
  const inside = [...stages.values()].sort((a, b) => b.ms - a.ms);
  const sum = inside.reduce((ms, s) => ms + s.ms, 0);
  const { preprocessMs, computeMs, postprocessMs } = timing;
  const rest = (name, ms) => ({ name, kind: 'other', calls: 1, ms, gflop: 0, gbytes: 0 });
  return [
    ...inside,
    rest('between the operations', computeMs - sum),
    rest('resize and normalise', preprocessMs),
    rest('result', postprocessMs),
    rest('queue, JavaScript, threads', wallMs - preprocessMs - computeMs - postprocessMs),
  ];
}

function describe({ op, rows, from, to, calls }, c) {
  const D = c.visionWidth;
  const N = (c.imageSize / c.patchSize) ** 2;
  if (op === 'linear') {
    const ranks = c.loraRank * c.kernelSizes.length;
    const names = {
      [`${3 * c.patchSize ** 2}>${D}`]: 'patch embedding',
      [`${D}>${3 * D}`]: 'qkv product',
      [`${D}>${D}`]: 'attention projection',
      [`${D}>${4 * D}`]: 'MLP in, GELU',
      [`${4 * D}>${D}`]: 'MLP out',
      [`${D}>${ranks}`]: 'adapter down',
      [`${D}>${2 * c.adapterHidden}`]: 'heads in',
    };
    const name = names[`${from}>${to}`] ?? `linear ${from} > ${to}`;
    return { name, kind: 'linear', gflop: (2 * calls * rows * from * to) / 1e9 };
  }
  if (op === 'attention') {
    const tokens = rows;
    const images = to;
    const gflop = (4 * calls * images * from * HEAD * tokens * tokens) / 1e9;
    return { name: 'attention', kind: 'attention', gflop };
  }
  if (op === 'head') {
    const gflop = (2 * calls * N * c.adapterHidden * c.embedDim) / 1e9;
    return { name: 'heads out, norms, text dots', kind: 'linear', gflop };
  }
  // Read and written once, 4 bytes an element.
  const elements = { layer_norm: 2 * (N + 1) * D, lora_blend: 2 * N * D }[op];
  return {
    name: op.replaceAll('_', ' '),
    kind: 'memory',
    gbytes: elements && (4 * calls * elements) / 1e9,
  };
}

/** Operations of the vision tower and adapters that no implementation of this graph can avoid, GFLOP. */
export function modelGflop(c) {
  const D = c.visionWidth;
  const N = (c.imageSize / c.patchSize) ** 2;
  const T = N + 1;
  const layer = 2 * T * 12 * D * D + 4 * T * T * D;
  const patches = 2 * N * D * 3 * c.patchSize ** 2;
  const group = 2 * N * 2 * c.adapterHidden * (D + c.embedDim);
  return (patches + c.visionLayers * layer + c.groups * group) / 1e9;
}

/** The one of `peaks` (of bench/lib/peaks.mjs) that bounds a stage of a model in `precision`, if it was measured. */
export function ceilingOf(kind, precision, peaks) {
  if (kind === 'memory') return peaks.copy?.median;
  if (kind === 'attention' && precision === 'int8') {
    // Half of the operations are q k^T, in int8, half the weighted sums of v, in bf16.
    const halves = [peaks.int8?.median, peaks.bf16?.median];
    return halves.every(Boolean) ? 2 / (1 / halves[0] + 1 / halves[1]) : undefined;
  }
  return peaks[precision]?.median;
}
