// Arithmetic on numbers that come from a file. A result that is not an exact non-negative integer is
// `undefined`, and the caller turns it into an error that names the field.

/** True for an exact integer >= 0. */
export function isSize(value: unknown): value is number {
  return typeof value === 'number' && Number.isSafeInteger(value) && value >= 0;
}

/** a + b, or undefined when the sum is not exact. */
export function checkedAdd(a: number, b: number): number | undefined {
  const sum = a + b;
  return Number.isSafeInteger(sum) ? sum : undefined;
}

/** a * b, or undefined when the product is not exact. */
export function checkedMul(a: number, b: number): number | undefined {
  const product = a * b;
  return Number.isSafeInteger(product) ? product : undefined;
}

/** The product of all extents (1 for none), or undefined when any partial product is not exact. */
export function checkedProduct(extents: readonly number[]): number | undefined {
  // A zero anywhere must not hide an overflow elsewhere: [2^40, 2^40, 0] is refused.
  let product = 1;
  let empty = false;
  for (const extent of extents) {
    if (extent === 0) empty = true;
    else {
      const next = checkedMul(product, extent);
      if (next === undefined) return undefined;
      product = next;
    }
  }
  return empty ? 0 : product;
}

/** Row-major strides, in elements. */
export function contiguousStrides(shape: readonly number[]): number[] {
  const strides = new Array<number>(shape.length);
  let step = 1;
  for (let axis = shape.length - 1; axis >= 0; axis--) {
    strides[axis] = step;
    step *= Math.max(1, shape[axis]!);
  }
  return strides;
}

/** Whether a strided view is laid out row-major; strides of axes of length 1 do not matter. */
export function isContiguous(shape: readonly number[], strides: readonly number[]): boolean {
  if (shape.includes(0)) return true;
  const wanted = contiguousStrides(shape);
  return shape.every((extent, axis) => extent === 1 || strides[axis] === wanted[axis]);
}

/** Elements from a view's first to its last, inclusive, or undefined when that is not exact. */
export function viewSpan(shape: readonly number[], strides: readonly number[]): number | undefined {
  if (shape.includes(0)) return 0;
  let last: number | undefined = 0;
  for (let axis = 0; axis < shape.length; axis++) {
    const reach = checkedMul(shape[axis]! - 1, strides[axis]!);
    last = reach === undefined ? undefined : checkedAdd(last, reach);
    if (last === undefined) return undefined;
  }
  return checkedAdd(last, 1);
}
