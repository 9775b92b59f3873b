// gatherTokens: 77 ids of the CLIP vocabulary in ViT-L's text width, from a table and from a seed (the
// kernel copies its table in, 152 MB: that is most of the call).
import { parameter, uniform } from '../lib/synth.mjs';

const [LENGTH, VOCABULARY, WIDTH] = [77, 49408, 768];
const SEED = 7;

export function cases(kernels) {
  const name = 'token_embedding.weight';
  const table = parameter(name, [VOCABULARY, WIDTH], SEED);
  return [
    gatherTokens(kernels, 'stored', table, table, table.byteLength),
    gatherTokens(kernels, 'from a seed', SEED, table, 0),
  ];
}

function gatherTokens(kernels, name, source, table, copiedBytes) {
  const ids = Int32Array.from({ length: LENGTH }, (_, i) => (i * 7919) % VOCABULARY);
  const positions = uniform('positions', LENGTH * WIDTH, { scale: 0.2 });
  const run = () => kernels.gatherTokens(ids, source, positions, LENGTH, VOCABULARY, WIDTH);
  return {
    name: `${name}, ${LENGTH} x ${WIDTH}`,
    bound: 'memory',
    flop: LENGTH * WIDTH,
    bytes: 3 * positions.byteLength,
    copied: { in: positions.byteLength + copiedBytes, out: positions.byteLength },
    run,
    check() {
      return Array.from(run(), (got, i) => {
        const expected = table[ids[Math.floor(i / WIDTH)] * WIDTH + (i % WIDTH)] + positions[i];
        return { got, expected, allowed: 2 ** -24 };
      });
    },
  };
}
