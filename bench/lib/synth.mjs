// Deterministic values ("synth-v1", see test/helpers/synth.ts and bench/reference/synth.py): both sides
// of a comparison compute the same model, and inputs are random, never zeros.

function fnv1a32(text) {
  let h = 0x811c9dc5;
  for (const b of Buffer.from(text, 'utf8')) h = Math.imul(h ^ b, 0x01000193) >>> 0;
  return h;
}

function fmix32(value) {
  let x = value;
  x = Math.imul(x ^ (x >>> 16), 0x85ebca6b);
  x = Math.imul(x ^ (x >>> 13), 0xc2b2ae35);
  return (x ^ (x >>> 16)) >>> 0;
}

/** `count` float32 values in [offset - scale, offset + scale), by name and seed. */
export function uniform(name, count, { seed = 1, scale = 1, offset = 0 } = {}) {
  const start = (fnv1a32(name) ^ seed) >>> 0;
  const [s, o] = [Math.fround(scale), Math.fround(offset)];
  const values = new Float32Array(count);
  for (let i = 0; i < count; i++) {
    const u = (fmix32((Math.imul(i, 0x9e3779b9) + start) >>> 0) >>> 8) * 2 ** -24;
    values[i] = o + Math.fround(s * Math.fround(Math.fround(2 * u) - 1));
  }
  return values;
}

/** Bytes from synth-v1: a picture of noise. */
export function noise(name, count, seed = 1) {
  const start = (fnv1a32(name) ^ seed) >>> 0;
  const bytes = new Uint8Array(count);
  for (let i = 0; i < count; i++)
    bytes[i] = fmix32((Math.imul(i, 0x9e3779b9) + start) >>> 0) >>> 24;
  return bytes;
}

/**
 * A picture with structure at several scales, noise on top: what resizing and a model see in practice.
 * RGB8, height * width * 3.
 */
export function picture(name, width, height, seed = 1) {
  const grain = noise(name, width * height * 3, seed);
  const waves = uniform(`${name}.waves`, 24, { seed, scale: 0.5, offset: 0.5 });
  for (let y = 0, i = 0; y < height; y++) {
    for (let x = 0; x < width; x++) {
      for (let c = 0; c < 3; c++, i++) {
        let v = 128;
        for (let k = c * 8; k < c * 8 + 8; k += 2) {
          const cycles = 2 ** (k - c * 8) / 2;
          v += 22 * Math.sin(((x / width) * waves[k] + (y / height) * waves[k + 1]) * 6.3 * cycles);
        }
        grain[i] = Math.max(0, Math.min(255, v + (grain[i] - 128) / 4));
      }
    }
  }
  return grain;
}

/** The values of a parameter of CLIP or of an adapter, by its name. */
export function parameter(name, shape, seed) {
  const count = shape.reduce((a, b) => a * b, 1);
  return uniform(name, count, { seed, ...recipe(name, shape) });
}

function recipe(name, shape) {
  const leaf = name.slice(name.lastIndexOf('.') + 1);
  const norm = name.includes('ln_') || name.includes('layer_norms');
  if (leaf === 'weight' && norm) return { scale: 0.25, offset: 1 };
  if (leaf === 'bias' && norm) return { scale: 0.1, offset: 0 };
  if (leaf === 'i_w') return { scale: 0.1, offset: 0.2 };
  if (leaf.includes('bias')) return { scale: 0.05, offset: 0 };
  if (leaf === 'class_embedding' || leaf === 'positional_embedding') return { scale: 0.2 };
  if (name.endsWith('token_embedding.weight')) return { scale: 0.2 };
  const matrix = leaf === 'lora_A' || leaf === 'lora_B';
  const fanIn = matrix ? shape[0] : shape.slice(1).reduce((a, b) => a * b, 1);
  return { scale: Math.fround(Math.sqrt(3 / fanIn)) };
}
