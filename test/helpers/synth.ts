// Deterministic synthetic tensors ("synth-v1"): any language rebuilds the same values bit for bit, so
// fixtures and goldens need not hold weights. For a tensor `name` with flat index i, all in float32:
//
//     x   = fmix32((i * 0x9E3779B9 + (fnv1a32(name) ^ seed)) mod 2^32)   (MurmurHash3's finaliser)
//     u   = (x >> 8) * 2^-24                                             in [0, 1), exact
//     val = offset + scale * (2u - 1)

// Bound once: inside a vm context (Jest) every look-up of a global costs more than the arithmetic.
const { fround, imul } = Math;

/** 32-bit FNV-1a of the UTF-8 bytes. */
export function fnv1a32(text: string): number {
  let h = 0x811c9dc5;
  for (const b of Buffer.from(text, 'utf8')) h = imul(h ^ b, 0x01000193) >>> 0;
  return h;
}

function fmix32(value: number): number {
  let x = value;
  x = imul(x ^ (x >>> 16), 0x85ebca6b);
  x = imul(x ^ (x >>> 13), 0xc2b2ae35);
  return (x ^ (x >>> 16)) >>> 0;
}

/** Number of elements; 1 for a scalar. */
export function count(shape: readonly number[]): number {
  return shape.reduce((a, b) => a * b, 1);
}

/** Values in [offset - scale, offset + scale). */
export function uniform(
  name: string,
  shape: readonly number[],
  seed: number,
  scale: number,
  offset = 0,
): Float32Array {
  const start = (fnv1a32(name) ^ seed) >>> 0;
  const [s, o] = [fround(scale), fround(offset)];
  const values = new Float32Array(count(shape));
  for (let i = 0; i < values.length; i++) {
    const x = fmix32((imul(i, 0x9e3779b9) + start) >>> 0);
    const u = (x >>> 8) * 2 ** -24;
    const v = fround(s * fround(fround(2 * u) - 1));
    values[i] = o + v;
  }
  return values;
}

/** The scale and offset of a CLIP or adapter parameter, by its name's last parts. */
export function recipe(name: string, shape: readonly number[]): { scale: number; offset: number } {
  const leaf = name.slice(name.lastIndexOf('.') + 1);
  const norm = name.includes('ln_') || name.includes('layer_norms');
  if (leaf === 'weight' && norm) return { scale: 0.25, offset: 1 };
  if (leaf === 'bias' && norm) return { scale: 0.1, offset: 0 };
  if (leaf === 'i_w') return { scale: 0.1, offset: 0.2 };
  if (leaf.includes('bias')) return { scale: 0.05, offset: 0 };
  if (['class_embedding', 'positional_embedding'].includes(leaf)) return { scale: 0.2, offset: 0 };
  if (name.endsWith('token_embedding.weight')) return { scale: 0.2, offset: 0 };
  if (leaf === 'logit_scale') return { scale: 0, offset: 4.6052 };
  const matrix = ['lora_A', 'lora_B', 'proj', 'text_projection'].includes(leaf);
  const fanIn = matrix ? shape[0]! : count(shape.slice(1));
  return { scale: fround(Math.sqrt(3 / fanIn)), offset: 0 };
}

/** The synth-v1 values of a parameter. */
export function tensor(name: string, shape: readonly number[], seed: number): Float32Array {
  const { scale, offset } = recipe(name, shape);
  return uniform(name, shape, seed, scale, offset);
}
