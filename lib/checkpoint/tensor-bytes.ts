// The bytes of a tensor that is about to be written, row-major, chunk by chunk.
import { types } from 'node:util';
import { AcdClipError } from '../errors';
import { checkedMul, checkedProduct, isContiguous, viewSpan } from './checked';
import { convertFloats, type FloatDtype, isFloatDtype } from './convert-floats';
import { type CheckpointDtype, ITEM_BYTES } from './dtypes';
import { LIMITS } from './limits';
import { SourceFile } from './source-file';

/** Where a tensor lies in a file that readCheckpoint has checked. */
export interface FileRange {
  path: string;
  offset: number;
  /** In elements; absent when row-major. */
  strides?: readonly number[];
  /** Type in the file when it differs from the tensor's; both must be f64, f32, f16 or bf16. */
  storedAs?: CheckpointDtype;
}

export interface WritableTensor {
  name: string;
  dtype: CheckpointDtype;
  shape: readonly number[];
  /** Little-endian row-major elements, or the file range to copy. */
  data: Uint8Array | FileRange;
}

/** Bytes that a tensor takes when written. */
export function byteLength(tensor: WritableTensor): number {
  const numel = checkedProduct(tensor.shape);
  const bytes = numel === undefined ? undefined : checkedMul(numel, ITEM_BYTES[tensor.dtype]);
  if (bytes === undefined || (types.isUint8Array(tensor.data) && tensor.data.length !== bytes)) {
    throw new AcdClipError(
      'ERR_ACD_INVALID_ARG',
      `Expected ${bytes} bytes for tensor ${tensor.name} (${tensor.dtype} [${tensor.shape}]) but received ${types.isUint8Array(tensor.data) ? tensor.data.length : 'a shape beyond counting'}`,
    );
  }
  return bytes;
}

/** The tensor's bytes in chunks of at most LIMITS.copyChunkBytes (before conversion). */
export async function* tensorBytes(tensor: WritableTensor): AsyncGenerator<Uint8Array> {
  const { data, dtype } = tensor;
  if (types.isUint8Array(data)) {
    yield data;
    return;
  }
  const from = data.storedAs ?? dtype;
  const file = await SourceFile.open(data.path);
  try {
    const strided = data.strides !== undefined && !isContiguous(tensor.shape, data.strides);
    const chunks = strided
      ? gather(file, tensor, data, from)
      : contiguous(file, data.offset, (checkedProduct(tensor.shape) ?? 0) * ITEM_BYTES[from]);
    for await (const chunk of chunks) yield from === dtype ? chunk : convert(chunk, from, dtype);
  } finally {
    await file.close();
  }
}

async function* contiguous(
  file: SourceFile,
  start: number,
  bytes: number,
): AsyncGenerator<Uint8Array> {
  for (let done = 0; done < bytes; done += LIMITS.copyChunkBytes) {
    yield await file.read(start + done, Math.min(LIMITS.copyChunkBytes, bytes - done));
  }
}

/** Copies a strided view row by row out of the span that it covers. */
async function* gather(
  file: SourceFile,
  tensor: WritableTensor,
  range: FileRange,
  from: CheckpointDtype,
): AsyncGenerator<Uint8Array> {
  const { shape } = tensor;
  const strides = range.strides!;
  const item = ITEM_BYTES[from];
  const span = (viewSpan(shape, strides) ?? Number.POSITIVE_INFINITY) * item;
  if (span > LIMITS.gatherBytes) {
    throw new AcdClipError(
      'ERR_ACD_UNSUPPORTED',
      `Expected tensor ${tensor.name} to be stored row by row: it is a strided view over ${span} bytes`,
      { help: 'In Python, save it again after tensor.contiguous().' },
    );
  }
  const source = await file.read(range.offset, span);
  const target = Buffer.allocUnsafe(checkedProduct(shape)! * item);
  const index = new Array<number>(shape.length).fill(0);
  let at = 0;
  for (let to = 0; to < target.length; to += item) {
    source.copy(target, to, at * item, (at + 1) * item);
    for (let axis = shape.length - 1; axis >= 0; axis--) {
      at += strides[axis]!;
      index[axis]!++;
      if (index[axis]! < shape[axis]!) break;
      at -= strides[axis]! * shape[axis]!;
      index[axis] = 0;
    }
  }
  yield target;
}

function convert(chunk: Uint8Array, from: CheckpointDtype, to: CheckpointDtype): Uint8Array {
  if (!isFloatDtype(from) || !isFloatDtype(to)) {
    throw new AcdClipError('ERR_ACD_UNSUPPORTED', `Cannot convert ${from} to ${to}`);
  }
  return convertFloats(chunk, from, to satisfies FloatDtype);
}
