// Element types: our names, their sizes, and what safetensors and torch call them.

/** Element types a checkpoint may hold; the model itself uses only the floating-point ones. */
export type CheckpointDtype =
  | 'f64'
  | 'f32'
  | 'f16'
  | 'bf16'
  | 'f8_e4m3'
  | 'f8_e5m2'
  | 'i64'
  | 'i32'
  | 'i16'
  | 'i8'
  | 'u64'
  | 'u32'
  | 'u16'
  | 'u8'
  | 'bool';

/** Bytes of one element. */
export const ITEM_BYTES: Readonly<Record<CheckpointDtype, number>> = {
  f64: 8,
  f32: 4,
  f16: 2,
  bf16: 2,
  f8_e4m3: 1,
  f8_e5m2: 1,
  i64: 8,
  i32: 4,
  i16: 2,
  i8: 1,
  u64: 8,
  u32: 4,
  u16: 2,
  u8: 1,
  bool: 1,
};

const SAFETENSORS: ReadonlyMap<string, CheckpointDtype> = new Map([
  ['F64', 'f64'],
  ['F32', 'f32'],
  ['F16', 'f16'],
  ['BF16', 'bf16'],
  ['F8_E4M3', 'f8_e4m3'],
  ['F8_E5M2', 'f8_e5m2'],
  ['I64', 'i64'],
  ['I32', 'i32'],
  ['I16', 'i16'],
  ['I8', 'i8'],
  ['U64', 'u64'],
  ['U32', 'u32'],
  ['U16', 'u16'],
  ['U8', 'u8'],
  ['BOOL', 'bool'],
]);

const TORCH_STORAGE: ReadonlyMap<string, CheckpointDtype> = new Map([
  ['DoubleStorage', 'f64'],
  ['FloatStorage', 'f32'],
  ['HalfStorage', 'f16'],
  ['BFloat16Storage', 'bf16'],
  ['LongStorage', 'i64'],
  ['IntStorage', 'i32'],
  ['ShortStorage', 'i16'],
  ['CharStorage', 'i8'],
  ['ByteStorage', 'u8'],
  ['BoolStorage', 'bool'],
]);

/** F16 -> f16; undefined for a name that is not read. */
export function fromSafetensorsDtype(name: string): CheckpointDtype | undefined {
  return SAFETENSORS.get(name);
}

/** HalfStorage -> f16; undefined for a name that is not read. */
export function fromTorchStorage(name: string): CheckpointDtype | undefined {
  return TORCH_STORAGE.get(name);
}

/** f16 -> F16. */
export function toSafetensorsDtype(dtype: CheckpointDtype): string {
  return keyOf(SAFETENSORS, dtype)!;
}

/** f16 -> HalfStorage; undefined for types without a classic torch storage class. */
export function toTorchStorage(dtype: CheckpointDtype): string | undefined {
  return keyOf(TORCH_STORAGE, dtype);
}

/** Whether the type is one that weights may have. */
export function isWeightDtype(dtype: CheckpointDtype): dtype is 'f64' | 'f32' | 'f16' | 'bf16' {
  return dtype === 'f64' || dtype === 'f32' || dtype === 'f16' || dtype === 'bf16';
}

function keyOf(names: ReadonlyMap<string, CheckpointDtype>, dtype: CheckpointDtype) {
  for (const [name, value] of names) if (value === dtype) return name;
  return undefined;
}
