// Building blocks for checkpoint tests: files as torch and safetensors write them, byte by byte, so
// that a test can make any of those bytes wrong.
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import * as path from 'node:path';
import { crc32 } from 'node:zlib';
import type { Checkpoint, WritableTensor } from '../../lib/checkpoint';
import { convertFloats, fromHalf, toHalf } from '../../lib/checkpoint/convert-floats';
import { AcdClipError } from '../../lib/errors';
import { tensor as synth } from './synth';

export const FIXTURES = path.join(__dirname, '../fixtures/checkpoints');

/** A folder that vanishes after the suite. */
export function temporaryFolder(): string {
  const folder = mkdtempSync(path.join(tmpdir(), 'acd-checkpoint-'));
  afterAll(() => rmSync(folder, { recursive: true, force: true }));
  return folder;
}

/** Writes bytes into a folder and returns the path. */
export function put(folder: string, name: string, bytes: Uint8Array | string): string {
  const file = path.join(folder, name);
  writeFileSync(file, bytes);
  return file;
}

/** The code that a promise rejects with; anything but an AcdClipError is passed on. */
export async function codeOf(work: Promise<unknown>): Promise<string> {
  try {
    await work;
    return 'no error';
  } catch (error) {
    if (error instanceof AcdClipError) return error.code;
    throw error;
  }
}

/** The error of a synchronous call. */
export function errorOf(work: () => unknown): AcdClipError {
  try {
    work();
  } catch (error) {
    if (error instanceof AcdClipError) return error;
    throw error;
  }
  throw new Error('Expected an error');
}

/** The raw bytes of a contiguous tensor. */
export function tensorBytesOf(checkpoint: Checkpoint, name: string): Buffer {
  const t = checkpoint.tensors.get(name)!;
  const whole = readFileSync(checkpoint.files[t.file]!.path);
  return Buffer.from(whole.subarray(t.offset, t.offset + t.bytes));
}

/** The values of a contiguous floating-point tensor. */
export function tensorValues(checkpoint: Checkpoint, name: string): Float32Array {
  const { dtype } = checkpoint.tensors.get(name)!;
  const bytes = convertFloats(tensorBytesOf(checkpoint, name), dtype as 'f32', 'f32');
  return new Float32Array(bytes.buffer, bytes.byteOffset, bytes.byteLength / 4);
}

export function roundToHalf(x: number): number {
  return fromHalf(toHalf(x));
}

/** A float32 tensor of synth-v1 values that a writer takes. */
export function synthTensor(name: string, shape: readonly number[], seed = 1): WritableTensor {
  const values = synth(name, shape, seed);
  return { name, dtype: 'f32', shape, data: new Uint8Array(values.buffer) };
}

// ---------------------------------------------------------------------- safetensors

/** Length, header, data; a header object is put through JSON, a string is taken as it is. */
export function safetensorsFile(header: unknown, data: Uint8Array, length?: bigint): Buffer {
  const json = Buffer.from(typeof header === 'string' ? header : JSON.stringify(header));
  const head = Buffer.alloc(8);
  head.writeBigUInt64LE(length ?? BigInt(json.length));
  return Buffer.concat([head, json, data]);
}

// ---------------------------------------------------------------------- zip as torch writes it

export interface ZipRecord {
  name: string | Buffer;
  data: Uint8Array;
  method?: number;
  flags?: number;
  crc?: number;
  /** Size before compression. */
  plain?: number;
  /** In the central directory alone. */
  central?: Partial<
    Record<'flags' | 'method' | 'crc' | 'compressed' | 'plain' | 'offset' | 'disk', number>
  > & { name?: string | Buffer; extra?: Buffer; comment?: string };
  /** In the local header alone. */
  local?: Partial<
    Record<'flags' | 'method' | 'crc' | 'compressed' | 'plain' | 'signature', number>
  > & {
    name?: string | Buffer;
    extra?: Buffer;
  };
  /** Replaces the data descriptor. */
  descriptor?: Buffer;
}

export interface ZipEnd {
  entries?: number;
  offset?: number;
  bytes?: number;
  zip64?: boolean;
  comment?: string;
  trailing?: Buffer;
  edit?: (end: Buffer) => void;
}

/** A zip archive with torch's oddities: zero local CRC and sizes, descriptors, FB padding, ZIP64 end. */
export function torchZip(records: readonly ZipRecord[], end: ZipEnd = {}): Buffer {
  const parts: Buffer[] = [];
  const directory: Buffer[] = [];
  let at = 0;
  for (const record of records) {
    const local = localPart(record, at);
    parts.push(local);
    directory.push(centralPart(record, at));
    at += local.length;
  }
  const central = Buffer.concat(directory);
  return Buffer.concat([...parts, central, endPart(records.length, at, central.length, end)]);
}

function localPart(record: ZipRecord, at: number): Buffer {
  const l = record.local ?? {};
  const name = Buffer.from(l.name ?? record.name);
  const pad = (64 - ((at + 30 + name.length + 4) % 64)) % 64;
  const padding = Buffer.concat([Buffer.from('FB'), Buffer.alloc(2), Buffer.alloc(pad, 'Z')]);
  padding.writeUInt16LE(pad, 2);
  const extra = l.extra ?? padding;
  const head = Buffer.alloc(30);
  head.writeUInt32LE(l.signature ?? 0x04034b50, 0);
  head.writeUInt16LE(l.flags ?? record.flags ?? 0x0808, 6);
  head.writeUInt16LE(l.method ?? record.method ?? 0, 8);
  head.writeUInt32LE(l.crc ?? 0, 14);
  head.writeUInt32LE(l.compressed ?? 0, 18);
  head.writeUInt32LE(l.plain ?? 0, 22);
  head.writeUInt16LE(name.length, 26);
  head.writeUInt16LE(extra.length, 28);
  const descriptor = Buffer.alloc(16);
  descriptor.writeUInt32LE(0x08074b50, 0);
  descriptor.writeUInt32LE(record.crc ?? crc32(record.data), 4);
  descriptor.writeUInt32LE(record.data.length, 8);
  descriptor.writeUInt32LE(record.plain ?? record.data.length, 12);
  return Buffer.concat([head, name, extra, record.data, record.descriptor ?? descriptor]);
}

function centralPart(record: ZipRecord, at: number): Buffer {
  const c = record.central ?? {};
  const name = Buffer.from(c.name ?? record.name);
  const extra = c.extra ?? Buffer.alloc(0);
  const comment = Buffer.from(c.comment ?? '');
  const head = Buffer.alloc(46);
  head.writeUInt32LE(0x02014b50, 0);
  head.writeUInt16LE(c.flags ?? record.flags ?? 0x0808, 8);
  head.writeUInt16LE(c.method ?? record.method ?? 0, 10);
  head.writeUInt32LE(c.crc ?? record.crc ?? crc32(record.data), 16);
  head.writeUInt32LE(c.compressed ?? record.data.length, 20);
  head.writeUInt32LE(c.plain ?? record.plain ?? record.data.length, 24);
  head.writeUInt16LE(name.length, 28);
  head.writeUInt16LE(extra.length, 30);
  head.writeUInt16LE(comment.length, 32);
  head.writeUInt32LE(c.offset ?? at, 42);
  return Buffer.concat([head, name, extra, comment]);
}

function endPart(count: number, offset: number, bytes: number, o: ZipEnd): Buffer {
  const entries = o.entries ?? count;
  const end64 = Buffer.alloc(o.zip64 === false ? 0 : 76);
  if (end64.length > 0) {
    end64.writeUInt32LE(0x06064b50, 0);
    end64.writeBigUInt64LE(44n, 4);
    end64.writeBigUInt64LE(BigInt(entries), 24);
    end64.writeBigUInt64LE(BigInt(entries), 32);
    end64.writeBigUInt64LE(BigInt(o.bytes ?? bytes), 40);
    end64.writeBigUInt64LE(BigInt(o.offset ?? offset), 48);
    end64.writeUInt32LE(0x07064b50, 56);
    end64.writeBigUInt64LE(BigInt(offset + bytes), 64);
    end64.writeUInt32LE(1, 72);
  }
  const comment = Buffer.from(o.comment ?? '');
  const end = Buffer.alloc(22);
  end.writeUInt32LE(0x06054b50, 0);
  end.writeUInt16LE(entries, 8);
  end.writeUInt16LE(entries, 10);
  end.writeUInt32LE(o.bytes ?? bytes, 12);
  end.writeUInt32LE(o.offset ?? offset, 16);
  end.writeUInt16LE(comment.length, 20);
  const all = Buffer.concat([end64, end, comment, o.trailing ?? Buffer.alloc(0)]);
  o.edit?.(all);
  return all;
}

/** A torch.save archive of one pickle and its records data/0, data/1, ... */
export function torchFile(
  pickle: Uint8Array,
  data: readonly Uint8Array[],
  extra: readonly ZipRecord[] = [],
  end: ZipEnd = {},
): Buffer {
  return torchZip(
    [
      { name: 'archive/data.pkl', data: pickle },
      { name: 'archive/byteorder', data: Buffer.from('little') },
      ...data.map((bytes, i) => ({ name: `archive/data/${i}`, data: bytes })),
      { name: 'archive/version', data: Buffer.from('3\n') },
      ...extra,
    ],
    end,
  );
}

// ---------------------------------------------------------------------- pickle assembler

/** Protocol 2 opcodes in Python's names, as bytes. */
export const P = {
  proto: raw('\x80\x02'),
  stop: raw('.'),
  mark: raw('('),
  emptyDict: raw('}'),
  emptyTuple: raw(')'),
  emptyList: raw(']'),
  tuple: raw('t'),
  tuple1: raw('\x85'),
  tuple2: raw('\x86'),
  setItem: raw('s'),
  setItems: raw('u'),
  append: raw('a'),
  appends: raw('e'),
  reduce: raw('R'),
  build: raw('b'),
  newObj: raw('\x81'),
  persId: raw('Q'),
  none: raw('N'),
  false: raw('\x89'),
  global: (module: string, name: string) => raw(`c${module}\n${name}\n`),
  put: (i: number) => raw(`q${String.fromCharCode(i)}`),
  get: (i: number) => raw(`h${String.fromCharCode(i)}`),
  text: (s: string) => {
    const head = Buffer.from('X\0\0\0\0');
    head.writeUInt32LE(Buffer.byteLength(s), 1);
    return Buffer.concat([head, Buffer.from(s)]);
  },
  int: (v: number) => {
    const b = Buffer.from('J\0\0\0\0');
    b.writeInt32LE(v, 1);
    return b;
  },
  long: (bytes: string) => raw(`\x8a${String.fromCharCode(bytes.length)}${bytes}`),
};

export function raw(latin1: string): Buffer {
  return Buffer.from(latin1, 'latin1');
}

export interface PickledTensor {
  storage?: string;
  key?: string;
  numel?: Buffer;
  offset?: Buffer;
  size?: readonly number[];
  stride?: readonly number[];
}

/** _rebuild_tensor_v2 over storage "0" of 6 floats, shape [2, 3], unless told otherwise. */
export function pickledTensor(o: PickledTensor = {}): Buffer {
  const tuple = (items: readonly number[]) => Buffer.concat([P.mark, ...items.map(P.int), P.tuple]);
  return Buffer.concat([
    P.global('torch._utils', '_rebuild_tensor_v2'),
    P.mark,
    P.mark,
    P.text('storage'),
    P.global('torch', o.storage ?? 'FloatStorage'),
    P.text(o.key ?? '0'),
    P.text('cpu'),
    o.numel ?? P.int(6),
    P.tuple,
    P.persId,
    o.offset ?? P.int(0),
    tuple(o.size ?? [2, 3]),
    tuple(o.stride ?? [3, 1]),
    P.false,
    P.global('collections', 'OrderedDict'),
    P.emptyTuple,
    P.reduce,
    P.tuple,
    P.reduce,
  ]);
}

/** A protocol 2 stream around `parts`. */
export function pickle(...parts: readonly Uint8Array[]): Buffer {
  return Buffer.concat([P.proto, ...parts, P.stop]);
}

/** The stream of {name: value, ...}. */
export function pickledDict(items: readonly (readonly [string, Uint8Array])[]): Buffer {
  const body = items.flatMap(([name, value]) => [P.text(name), value]);
  return pickle(P.emptyDict, P.mark, ...body, P.setItems);
}
