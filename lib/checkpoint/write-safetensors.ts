// Writing safetensors: header first, then every tensor back to back, streamed from where it lies.
import { AcdClipError } from '../errors';
import { type WriteOptions, writeAtomically } from './atomic-file';
import { toSafetensorsDtype } from './dtypes';
import { byteLength, tensorBytes, type WritableTensor } from './tensor-bytes';

/**
 * Writes tensors and string metadata as one safetensors file, atomically; at most 16 MiB of a
 * tensor that is copied from a file are in memory at a time. Returns the file's size in bytes.
 *
 * @throws AcdClipError ERR_ACD_INVALID_ARG (an existing file without `overwrite`, a name twice),
 *   ERR_ACD_FILE_READ
 */
export async function writeSafetensors(
  path: string,
  tensors: Iterable<WritableTensor>,
  metadata: Readonly<Record<string, string>> | ReadonlyMap<string, string> = {},
  options: WriteOptions = {},
): Promise<number> {
  const list = [...tensors];
  const header = buildHeader(list, metadata);
  return writeAtomically(path, options, async (append) => {
    await append(header);
    for (const tensor of list) {
      for await (const chunk of tensorBytes(tensor)) await append(chunk);
    }
  });
}

function buildHeader(
  tensors: readonly WritableTensor[],
  metadata: Readonly<Record<string, string>> | ReadonlyMap<string, string>,
): Buffer {
  const entries: [string, unknown][] = [];
  const pairs = metadata instanceof Map ? [...metadata] : Object.entries(metadata);
  if (pairs.length > 0) entries.push(['__metadata__', new Map(pairs)]);
  const names = new Set(['__metadata__']);
  let offset = 0;
  for (const tensor of tensors) {
    if (names.has(tensor.name)) {
      throw new AcdClipError(
        'ERR_ACD_INVALID_ARG',
        `Expected each tensor name once but received ${JSON.stringify(tensor.name)} again`,
      );
    }
    names.add(tensor.name);
    const end = offset + byteLength(tensor);
    const dtype = toSafetensorsDtype(tensor.dtype);
    entries.push([tensor.name, { dtype, shape: tensor.shape, data_offsets: [offset, end] }]);
    offset = end;
  }
  const json = Buffer.from(toJson(entries));
  // Spaces up to a multiple of 8 put the first tensor at an aligned offset, as the format advises.
  const padded = Math.ceil(json.length / 8) * 8;
  const header = Buffer.alloc(8 + padded, ' ');
  header.writeBigUInt64LE(BigInt(padded), 0);
  json.copy(header, 8);
  return header;
}

/** An object whose keys come from outside is never built: "__proto__" would vanish from it. */
function toJson(entries: readonly [string, unknown][]): string {
  const parts = entries.map(([key, value]) => {
    const text = value instanceof Map ? toJson([...value]) : JSON.stringify(value);
    return `${JSON.stringify(key)}:${text}`;
  });
  return `{${parts.join(',')}}`;
}
