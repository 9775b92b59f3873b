// Between the floating-point types that weights come in, round to nearest even.
import type { CheckpointDtype } from './dtypes';

export type FloatDtype = 'f64' | 'f32' | 'f16' | 'bf16';

export function isFloatDtype(dtype: CheckpointDtype): dtype is FloatDtype {
  return dtype === 'f64' || dtype === 'f32' || dtype === 'f16' || dtype === 'bf16';
}

/** Little-endian elements of one type as those of another. */
export function convertFloats(bytes: Uint8Array, from: FloatDtype, to: FloatDtype): Uint8Array {
  const source = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const count = bytes.byteLength / SIZE[from];
  const target = new DataView(new ArrayBuffer(count * SIZE[to]));
  const [read, write] = [READ[from], WRITE[to]];
  for (let i = 0; i < count; i++) write(target, i * SIZE[to], read(source, i * SIZE[from]));
  return new Uint8Array(target.buffer);
}

const SIZE: Readonly<Record<FloatDtype, number>> = { f64: 8, f32: 4, f16: 2, bf16: 2 };

const READ: Readonly<Record<FloatDtype, (v: DataView, at: number) => number>> = {
  f64: (v, at) => v.getFloat64(at, true),
  f32: (v, at) => v.getFloat32(at, true),
  f16: (v, at) => fromHalf(v.getUint16(at, true)),
  bf16: (v, at) => fromBrain(v.getUint16(at, true)),
};

const WRITE: Readonly<Record<FloatDtype, (v: DataView, at: number, x: number) => void>> = {
  f64: (v, at, x) => v.setFloat64(at, x, true),
  f32: (v, at, x) => v.setFloat32(at, x, true),
  f16: (v, at, x) => v.setUint16(at, toHalf(x), true),
  bf16: (v, at, x) => v.setUint16(at, toBrain(x), true),
};

const scratch = new DataView(new ArrayBuffer(8));

/** IEEE half precision, 16 bits -> number. */
export function fromHalf(bits: number): number {
  const sign = bits & 0x8000 ? -1 : 1;
  const exponent = (bits >> 10) & 0x1f;
  const fraction = bits & 0x3ff;
  if (exponent === 0x1f) return fraction ? Number.NaN : sign * Number.POSITIVE_INFINITY;
  if (exponent === 0) return sign * fraction * 2 ** -24;
  return sign * (1024 + fraction) * 2 ** (exponent - 25);
}

/** Number -> half precision; above 65,519 becomes infinite. */
export function toHalf(x: number): number {
  if (Number.isNaN(x)) return 0x7e00;
  const sign = x < 0 || Object.is(x, -0) ? 0x8000 : 0;
  const size = Math.abs(x);
  if (size >= 65_520) return sign | 0x7c00;
  // Units of the last place; 2^-24 below the smallest normal number, so subnormals need no branch.
  const exponent = Math.max(-14, size === 0 ? -14 : exponentOf(size));
  const ulps = roundHalfEven(size * 2 ** (10 - exponent));
  return sign | (((exponent + 14) << 10) + ulps);
}

function fromBrain(bits: number): number {
  scratch.setUint32(0, bits * 0x10000);
  return scratch.getFloat32(0);
}

function toBrain(x: number): number {
  if (Number.isNaN(x)) return 0x7fc0;
  scratch.setFloat32(0, x);
  const bits = scratch.getUint32(0);
  return (bits + 0x7fff + ((bits >>> 16) & 1)) >>> 16;
}

function exponentOf(x: number): number {
  scratch.setFloat64(0, x);
  return ((scratch.getUint16(0) >> 4) & 0x7ff) - 1023;
}

function roundHalfEven(x: number): number {
  const floor = Math.floor(x);
  const rest = x - floor;
  return rest > 0.5 || (rest === 0.5 && floor % 2 === 1) ? floor + 1 : floor;
}
