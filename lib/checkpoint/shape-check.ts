// Comparing a table of tensors with the shapes that a model needs.
import { isWeightDtype } from './dtypes';
import { mismatch } from './failures';
import type { NamedTensor, NamedTensors } from './tensor-names';

export type Shapes = Map<string, number[]>;

/**
 * The tensors that `shapes` asks for, in its order; throws ERR_ACD_CHECKPOINT_MISMATCH when one is
 * missing, has another shape or holds integers. `what` names the owner in messages.
 */
export function selectTensors(what: string, tensors: NamedTensors, shapes: Shapes): NamedTensor[] {
  checkPresent(what, tensors, [...shapes.keys()]);
  return [...shapes].map(([name, shape]) => {
    const tensor = tensors.get(name)!;
    if (String(tensor.shape) !== String(shape)) {
      throw mismatch(
        `Expected shape [${shape}] for ${name} of ${what} but received [${tensor.shape}]`,
        'Its sizes were read off the other tensors: the file mixes two models, or the tensor was edited.',
      );
    }
    const odd = tensor.parts.find((p) => !isWeightDtype(p.dtype));
    if (odd !== undefined) {
      throw mismatch(
        `Expected floating-point numbers (f16, bf16, f32 or f64) for ${name} of ${what} but received ${odd.dtype}`,
        'Quantised checkpoints are not read: use the original one.',
      );
    }
    return tensor;
  });
}

/** Throws ERR_ACD_CHECKPOINT_MISMATCH with the first few names and the count when some are missing. */
export function checkPresent(what: string, tensors: NamedTensors, names: readonly string[]): void {
  const missing = names.filter((name) => !tensors.has(name));
  if (missing.length === 0) return;
  const first = missing.slice(0, 4).join(', ');
  const more = missing.length > 4 ? `, ... (${missing.length} in all)` : '';
  throw mismatch(`Expected ${what} to hold ${first}${more}, but it does not`);
}

/** The shape of a tensor that sizes are read off: all axes at least 1, and `rank` of them. */
export function sizesOf(what: string, tensors: NamedTensors, name: string, rank: number): number[] {
  const tensor = tensors.get(name);
  if (tensor === undefined) throw mismatch(`Expected ${what} to hold ${name}, but it does not`);
  const { shape } = tensor;
  if (shape.length !== rank || shape.some((extent) => extent < 1)) {
    throw mismatch(
      `Expected ${rank} axes of at least 1 for ${name} of ${what} but received [${shape}]`,
    );
  }
  return shape;
}

/** How many numbers follow `prefix` in the names; they must be 0, 1, 2, ... without a gap. */
export function countIndices(what: string, tensors: NamedTensors, prefix: string): number {
  const indices = new Set<number>();
  for (const name of tensors.keys()) {
    const digits = name.startsWith(prefix)
      ? /^(0|[1-9]\d{0,4})\./.exec(name.slice(prefix.length))
      : null;
    if (digits !== null) indices.add(Number(digits[1]));
  }
  for (let i = 0; i < indices.size; i++) {
    if (!indices.has(i)) {
      throw mismatch(
        `Expected ${prefix}0 to ${prefix}${Math.max(...indices)} without a gap in ${what}, but ${prefix}${i} is missing`,
      );
    }
  }
  if (indices.size === 0) throw mismatch(`Expected ${what} to hold ${prefix}0, but it does not`);
  return indices.size;
}
