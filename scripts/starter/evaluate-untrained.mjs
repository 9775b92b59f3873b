// A bundle's untrained twin: the same names, shapes and metadata, with weights drawn anew as before
// training. What it scores is what the architecture alone is worth.
import { createRequire } from 'node:module';
import { seeded } from './seeded.mjs';

// Inside the checkout a script may use rooms that the public API does not show.
const { readCheckpoint, writable, writeSafetensors } = createRequire(import.meta.url)(
  '../../dist/checkpoint/index.js',
);

const FLOATS = new Set(['f64', 'f32', 'f16', 'bf16']);

/** Writes the twin of `bundle` to `out`, in float32; equal seeds give equal bytes. */
export async function writeUntrained(bundle, out, seed) {
  const checkpoint = await readCheckpoint(bundle);
  const random = seeded(seed);
  const tensors = [...checkpoint.tensors.values()].map(({ name, dtype, shape }) => {
    if (!FLOATS.has(dtype)) return writable(checkpoint, name);
    const { buffer } = draw(name, shape, random);
    return { name, dtype: 'f32', shape, data: new Uint8Array(buffer) };
  });
  const metadata = [...checkpoint.metadata].map(([key, value]) => [key, String(value)]);
  await writeSafetensors(out, tensors, new Map(metadata), { overwrite: true });
}

/** Blends 0.2, norms 1 and 0, biases 0, embeddings and lora_B normal(0.02), the rest Kaiming. */
function draw(name, shape, random) {
  const values = new Float32Array(shape.reduce((a, b) => a * b, 1));
  const leaf = name.slice(name.lastIndexOf('.') + 1);
  if (leaf === 'i_w') return values.fill(0.2);
  if (leaf === 'logit_scale') return values.fill(Math.log(1 / 0.07));
  if (leaf.endsWith('bias')) return values;
  if (/ln_|layer_?norm/.test(name)) return values.fill(1);
  if (/embedding/.test(name) || leaf === 'lora_B') return normal(values, 0.02, random);
  // These two multiply from the right, so their first axis is the input.
  const fromRight = leaf === 'lora_A' || /(^|\.|_)(proj|projection)$/.test(name);
  const fanIn = fromRight ? shape[0] : shape.slice(1).reduce((a, b) => a * b, 1);
  // Kaiming with the gain of a linear layer: a layer keeps the size of its input.
  return normal(values, Math.sqrt(1 / fanIn), random);
}

/** Box and Muller's. */
function normal(values, deviation, random) {
  for (let i = 0; i < values.length; i++) {
    const radius = Math.sqrt(-2 * Math.log(1 - random()));
    values[i] = deviation * radius * Math.cos(2 * Math.PI * random());
  }
  return values;
}
