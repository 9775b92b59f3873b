// safetensors: a 64-bit header length, a JSON header, then all tensors back to back. The rules are
// the format's own, without exceptions: no hole, no overlap, no byte after the last tensor.

import { checkedAdd, checkedMul, checkedProduct, isSize } from './checked';
import type { CheckpointTensor, MetadataValue } from './checkpoint';
import { fromSafetensorsDtype, ITEM_BYTES } from './dtypes';
import { corrupt, refused, unsupportedFormat } from './failures';
import { LIMITS } from './limits';
import type { SourceFile } from './source-file';
import { type JsonValue, parseStrictJson, quote } from './strict-json';

export interface TensorTable {
  tensors: Map<string, CheckpointTensor>;
  metadata: Map<string, MetadataValue>;
}

/** Reads the header of one safetensors file; `fileIndex` is what its tensors' `file` will say. */
export async function readSafetensors(file: SourceFile, fileIndex: number): Promise<TensorTable> {
  const headerBytes = await readHeaderLength(file);
  const json = parseStrictJson(file.path, await file.read(8, headerBytes), 8);
  if (!(json instanceof Map)) throw corrupt(file.path, 'Expected a JSON object as header', 8);

  const table: TensorTable = { tensors: new Map(), metadata: new Map() };
  for (const [name, value] of json) {
    if (name === '__metadata__') readMetadata(file.path, value, table.metadata);
    else table.tensors.set(name, readEntry(file.path, name, value, fileIndex));
  }
  if (table.tensors.size > LIMITS.tensors) {
    throw refused(
      file.path,
      `Expected at most ${LIMITS.tensors} tensors but found ${table.tensors.size}`,
    );
  }
  checkCoverage(file, table.tensors, 8 + headerBytes);
  return table;
}

async function readHeaderLength(file: SourceFile): Promise<number> {
  const length = (await file.read(0, 8)).readBigUInt64LE(0);
  if (length > BigInt(file.bytes - 8)) {
    throw corrupt(
      file.path,
      `Expected a header of at most ${file.bytes - 8} bytes but its length says ${length}`,
      0,
    );
  }
  if (length > BigInt(LIMITS.jsonBytes)) {
    throw refused(
      file.path,
      `Expected a header of at most ${LIMITS.jsonBytes} bytes but its length says ${length}`,
      0,
    );
  }
  return Number(length);
}

function readMetadata(file: string, value: JsonValue, into: Map<string, MetadataValue>): void {
  if (!(value instanceof Map)) throw corrupt(file, 'Expected an object for __metadata__');
  if (value.size > LIMITS.metadataEntries) {
    throw refused(file, `Expected at most ${LIMITS.metadataEntries} entries in __metadata__`);
  }
  for (const [key, text] of value) {
    if (typeof text !== 'string') {
      throw corrupt(file, `Expected a string for ${quote(key)} of __metadata__`);
    }
    into.set(key, text);
  }
}

const ENTRY_KEYS = ['dtype', 'shape', 'data_offsets'];

/** `offset` of the result is still relative to the data section. */
function readEntry(
  file: string,
  name: string,
  value: JsonValue,
  fileIndex: number,
): CheckpointTensor {
  const what = `tensor ${quote(name)}`;
  if (name === '' || Buffer.byteLength(name) > LIMITS.nameBytes) {
    throw refused(file, `Expected a name of 1 to ${LIMITS.nameBytes} bytes for ${what}`);
  }
  if (!(value instanceof Map)) throw corrupt(file, `Expected an object for ${what}`);
  for (const key of value.keys()) {
    if (!ENTRY_KEYS.includes(key)) throw corrupt(file, `Unknown key ${quote(key)} for ${what}`);
  }
  const dtypeName = value.get('dtype');
  if (typeof dtypeName !== 'string') throw corrupt(file, `Expected a dtype for ${what}`);
  const dtype = fromSafetensorsDtype(dtypeName);
  if (dtype === undefined) {
    throw unsupportedFormat(file, `Unknown dtype ${quote(dtypeName)} for ${what}`);
  }
  const shape = readShape(file, what, value.get('shape'));
  const [begin, end] = readOffsets(file, what, value.get('data_offsets'));
  const numel = checkedProduct(shape);
  const bytes = numel === undefined ? undefined : checkedMul(numel, ITEM_BYTES[dtype]);
  if (bytes === undefined || end - begin !== bytes) {
    throw corrupt(
      file,
      `Expected ${bytes ?? 'a countable number of'} bytes for ${what} (${dtypeName} [${shape}]) but its offsets span ${end - begin}`,
    );
  }
  return { name, dtype, shape, file: fileIndex, offset: begin, bytes };
}

function readShape(file: string, what: string, value: JsonValue | undefined): number[] {
  if (!Array.isArray(value) || !value.every(isSize)) {
    throw corrupt(file, `Expected a list of non-negative integers for the shape of ${what}`);
  }
  if (value.length > LIMITS.rank) {
    throw refused(file, `Expected at most ${LIMITS.rank} axes for ${what}, got ${value.length}`);
  }
  return value;
}

function readOffsets(file: string, what: string, value: JsonValue | undefined): [number, number] {
  const pair =
    Array.isArray(value) && value.length === 2 && value.every(isSize) ? value : undefined;
  const [begin, end] = pair ?? [];
  if (begin === undefined || end === undefined || begin > end) {
    throw corrupt(file, `Expected two ascending integers for data_offsets of ${what}`);
  }
  return [begin, end];
}

function checkCoverage(
  file: SourceFile,
  tensors: Map<string, CheckpointTensor>,
  dataStart: number,
): void {
  const ordered = [...tensors.values()].sort((a, b) => a.offset - b.offset || a.bytes - b.bytes);
  let next = 0;
  for (const tensor of ordered) {
    if (tensor.offset !== next) {
      throw corrupt(
        file.path,
        `Expected tensor ${quote(tensor.name)} to start at ${next} of the data but it ${tensor.offset < next ? 'overlaps another' : 'leaves a hole'} (starts at ${tensor.offset})`,
      );
    }
    next = checkedAdd(tensor.offset, tensor.bytes) ?? Number.POSITIVE_INFINITY;
    tensor.offset += dataStart;
  }
  const present = file.bytes - dataStart;
  if (next !== present) {
    throw corrupt(file.path, `Expected ${next} bytes of tensor data but the file has ${present}`);
  }
}
