// The table of contents of a torch archive. yauzl walks the central directory; the checks here make
// sure that no other zip reader could see different entries in the same bytes.
//
// Genuine torch archives look odd, and exactly these oddities are accepted: local headers whose CRC
// and sizes are zero with a data descriptor after the data, ZIP64 end records on tiny files, "FB"
// padding that only the local header has, and deflated code/ entries (never read here, never inflated).
import * as yauzl from 'yauzl';
import { AcdClipError } from '../errors';
import { checkedAdd } from './checked';
import { corrupt, refused } from './failures';
import { LIMITS } from './limits';
import { reason, type SourceFile } from './source-file';

export interface ZipEntry {
  name: string;
  /** First byte of the data. */
  offset: number;
  /** Bytes as stored. */
  bytes: number;
  crc32: number;
  stored: boolean;
}

/** All entries by name, in the order of the central directory. */
export async function readZipDirectory(
  file: SourceFile,
  signal?: AbortSignal,
): Promise<Map<string, ZipEntry>> {
  const directory = await readEndRecords(file);
  const entries = new Map<string, ZipEntry>();
  const spans: Span[] = [{ start: directory.offset, end: file.bytes, name: 'the directory' }];
  let directoryBytes = 0;
  for (const central of await walk(file, directory)) {
    signal?.throwIfAborted();
    checkCentral(file.path, central);
    if (entries.has(central.fileName)) {
      throw corrupt(
        file.path,
        `Expected each zip entry once but found "${central.fileName}" again`,
      );
    }
    directoryBytes += 46 + central.fileNameLength + central.extraFieldLength;
    const { entry, end } = await readLocal(file, central, directory.offset);
    entries.set(entry.name, entry);
    spans.push({ start: central.relativeOffsetOfLocalHeader, end, name: entry.name });
  }
  if (directoryBytes !== directory.bytes) {
    throw corrupt(
      file.path,
      `Expected a central directory of ${directory.bytes} bytes but its entries take ${directoryBytes}`,
      directory.offset,
    );
  }
  checkNoOverlap(file.path, spans);
  return entries;
}

interface Span {
  start: number;
  end: number;
  name: string;
}

interface EndRecords {
  entries: number;
  offset: number;
  bytes: number;
}

const EOCD_BYTES = 22;
const LOCATOR_BYTES = 20;
const EOCD64_BYTES = 56;

async function readEndRecords(file: SourceFile): Promise<EndRecords> {
  const at = file.bytes - EOCD_BYTES;
  const bad = (message: string, offset: number) => corrupt(file.path, message, offset);
  if (at < 0) throw bad('Expected a zip archive but the file is too short for one', 0);
  const end = await file.read(at, EOCD_BYTES);
  if (end.readUInt32LE(0) !== 0x06054b50 || end.readUInt16LE(20) !== 0) {
    throw bad(
      "Expected the zip's end record in the last 22 bytes: the file is cut off or padded",
      at,
    );
  }
  if (end.readUInt32LE(4) !== 0 || end.readUInt16LE(8) !== end.readUInt16LE(10)) {
    throw bad('Expected a zip archive of one part', at + 4);
  }
  const short: EndRecords = {
    entries: end.readUInt16LE(10),
    bytes: end.readUInt32LE(12),
    offset: end.readUInt32LE(16),
  };
  const long = await readEnd64(file, at - LOCATOR_BYTES);
  const found = long ?? { ...short, end: at };
  const agrees =
    agree(short.entries, found.entries, 0xffff) &&
    agree(short.bytes, found.bytes, 0xffffffff) &&
    agree(short.offset, found.offset, 0xffffffff);
  if (!agrees) throw bad("Expected the zip's two end records to agree", at + 10);
  if (checkedAdd(found.offset, found.bytes) !== found.end) {
    throw bad(
      `Expected the central directory to end at ${found.end} but its record says ${found.offset} + ${found.bytes}`,
      at + 12,
    );
  }
  if (found.entries > LIMITS.zipEntries) {
    throw refused(file.path, `Expected at most ${LIMITS.zipEntries} zip entries`, at + 10);
  }
  if (found.bytes > LIMITS.zipDirectoryBytes) {
    throw refused(
      file.path,
      `Expected a zip directory of at most ${LIMITS.zipDirectoryBytes} bytes, got ${found.bytes}`,
      at + 12,
    );
  }
  return found;
}

/** A field of the short record is either the value itself or the sign that only ZIP64 has it. */
function agree(short: number, long: number, elsewhere: number): boolean {
  return short === long || short === elsewhere;
}

async function readEnd64(
  file: SourceFile,
  at: number,
): Promise<(EndRecords & { end: number }) | undefined> {
  if (at < EOCD64_BYTES) return undefined;
  const locator = await file.read(at, LOCATOR_BYTES);
  if (locator.readUInt32LE(0) !== 0x07064b50) return undefined;
  const start = at - EOCD64_BYTES;
  const record = await file.read(start, EOCD64_BYTES);
  const sound =
    locator.readUInt32LE(4) === 0 &&
    locator.readBigUInt64LE(8) === BigInt(start) &&
    locator.readUInt32LE(16) === 1 &&
    record.readUInt32LE(0) === 0x06064b50 &&
    record.readBigUInt64LE(4) === BigInt(EOCD64_BYTES - 12) &&
    record.readBigUInt64LE(16) === 0n &&
    record.readBigUInt64LE(24) === record.readBigUInt64LE(32);
  if (!sound)
    throw corrupt(file.path, "Expected a sound ZIP64 end record before the zip's end", start);
  // Values above 2^53 become inexact here and then fail the sum that the caller checks.
  return {
    entries: Number(record.readBigUInt64LE(32)),
    bytes: Number(record.readBigUInt64LE(40)),
    offset: Number(record.readBigUInt64LE(48)),
    end: start,
  };
}

async function walk(file: SourceFile, directory: EndRecords): Promise<yauzl.Entry[]> {
  const tail = await TailReader.load(file, directory.offset);
  const entries: yauzl.Entry[] = [];
  try {
    const options = { autoClose: false, strictFileNames: true };
    const zip = await yauzl.fromRandomAccessReaderPromise(tail, file.bytes, options);
    for await (const entry of zip.eachEntry()) entries.push(entry);
  } catch (error) {
    throw corrupt(file.path, `Unreadable zip directory (${reason(error)})`, directory.offset);
  }
  if (entries.length !== directory.entries) {
    throw corrupt(
      file.path,
      `Expected ${directory.entries} zip entries but found ${entries.length}`,
      directory.offset,
    );
  }
  return entries;
}

/** Serves yauzl from memory: two reads an entry are slow for archives of thousands of entries. */
class TailReader extends yauzl.RandomAccessReader {
  private constructor(
    private readonly tail: Buffer,
    private readonly start: number,
  ) {
    super();
  }

  static async load(file: SourceFile, directoryOffset: number): Promise<TailReader> {
    const start = Math.max(0, Math.min(directoryOffset, file.bytes - YAUZL_WINDOW_BYTES));
    return new TailReader(await file.read(start, file.bytes - start), start);
  }

  override read(
    buffer: Buffer,
    offset: number,
    length: number,
    position: number,
    callback: (error: Error | null) => void,
  ): void {
    const from = position - this.start;
    const inside = from >= 0 && from + length <= this.tail.length;
    if (inside) this.tail.copy(buffer, offset, from, from + length);
    queueMicrotask(() => callback(inside ? null : new Error('an entry runs past the end')));
  }

  override _readStreamForRange(): never {
    throw new AcdClipError('ERR_ACD_INTERNAL', 'The data of zip entries is never streamed');
  }
}

/** What yauzl reads to find the end record: itself, a locator and the longest possible comment. */
const YAUZL_WINDOW_BYTES = 22 + 20 + 65_535;

const DESCRIPTOR = 0x0008;
const UTF8 = 0x0800;
const STORED = 0;
const DEFLATED = 8;
const EXTRA_ZIP64 = 0x0001;
const EXTRA_PADDING = 0x4246;

function checkCentral(file: string, entry: yauzl.Entry): void {
  const name = entry.fileName;
  const what = `zip entry ${JSON.stringify(name.slice(0, 80))}`;
  if ((entry.generalPurposeBitFlag & ~(DESCRIPTOR | UTF8)) !== 0) {
    const encrypted = (entry.generalPurposeBitFlag & 1) !== 0;
    const flags = entry.generalPurposeBitFlag.toString(16);
    throw refused(file, encrypted ? `${what} is encrypted` : `Unknown flags 0x${flags} of ${what}`);
  }
  if (entry.compressionMethod !== STORED && entry.compressionMethod !== DEFLATED) {
    throw refused(file, `Unknown compression method ${entry.compressionMethod} of ${what}`);
  }
  if (entry.fileNameLength > LIMITS.zipNameBytes || !isPlainName(name)) {
    throw refused(file, `Expected a relative path without ".." for ${what}`);
  }
  if (entry.fileCommentLength !== 0) throw corrupt(file, `Unexpected comment on ${what}`);
  // The Unicode-path extra would give the entry a second name.
  checkExtras(file, what, entry.extraFieldRaw, [EXTRA_ZIP64]);
}

function isPlainName(name: string): boolean {
  if (name === '' || /[\p{Cc}\\\ufffd]/u.test(name) || /^[a-zA-Z]:/.test(name)) return false;
  return name.split('/').every((part) => part !== '' && part !== '.' && part !== '..');
}

function checkExtras(file: string, what: string, raw: Buffer, allowed: readonly number[]): void {
  let at = 0;
  while (at < raw.length) {
    const left = raw.length - at;
    const length = left >= 4 ? raw.readUInt16LE(at + 2) : Number.POSITIVE_INFINITY;
    if (length > left - 4) throw corrupt(file, `Extra field of ${what} runs past its end`);
    const id = raw.readUInt16LE(at);
    if (!allowed.includes(id)) {
      throw refused(file, `Unexpected extra field 0x${id.toString(16)} of ${what}`);
    }
    at += 4 + length;
  }
}

/** Checks the local header against the central one; `end` is the first byte after the entry. */
async function readLocal(
  file: SourceFile,
  central: yauzl.Entry,
  limit: number,
): Promise<{ entry: ZipEntry; end: number }> {
  const start = central.relativeOffsetOfLocalHeader;
  const what = `zip entry ${JSON.stringify(central.fileName)}`;
  const headerBytes = 30 + central.fileNameLength;
  if (!(start + headerBytes <= limit)) {
    throw corrupt(file.path, `Expected the header of ${what} before the directory`, start);
  }
  // Torch pads data to 64 bytes, so that this window nearly always holds the extra field too.
  const window = await file.read(start, Math.min(headerBytes + 128, file.bytes - start));
  const header = window.subarray(0, headerBytes);
  const same =
    header.readUInt32LE(0) === 0x04034b50 &&
    header.readUInt16LE(6) === central.generalPurposeBitFlag &&
    header.readUInt16LE(8) === central.compressionMethod &&
    header.readUInt16LE(26) === central.fileNameLength &&
    header.subarray(30).equals(central.fileNameRaw);
  if (!same) {
    throw corrupt(
      file.path,
      `Expected the local header of ${what} to equal its directory entry`,
      start,
    );
  }
  const offset = start + headerBytes + header.readUInt16LE(28);
  const dataEnd = checkedAdd(offset, central.compressedSize);
  if (dataEnd === undefined || dataEnd > limit) {
    throw corrupt(
      file.path,
      `Expected the ${central.compressedSize} bytes of ${what} before the directory`,
      offset,
    );
  }
  const extra =
    offset - start <= window.length
      ? window.subarray(headerBytes, offset - start)
      : await file.read(start + headerBytes, offset - start - headerBytes);
  checkExtras(file.path, what, extra, [EXTRA_ZIP64, EXTRA_PADDING]);
  const end = await checkSizes(file, central, header, extra, dataEnd, limit);
  return {
    entry: {
      name: central.fileName,
      offset,
      bytes: central.compressedSize,
      crc32: central.crc32,
      stored: central.compressionMethod === STORED,
    },
    end,
  };
}

/** CRC and sizes stand in the local header, or zeros stand there and the truth follows the data. */
async function checkSizes(
  file: SourceFile,
  central: yauzl.Entry,
  header: Buffer,
  extra: Buffer,
  dataEnd: number,
  limit: number,
): Promise<number> {
  const crc = header.readUInt32LE(14);
  const compressed = header.readUInt32LE(18);
  const plain = header.readUInt32LE(22);
  const deferred = (central.generalPurposeBitFlag & DESCRIPTOR) !== 0;
  const zip64 = extra.length >= 2 && extra.readUInt16LE(0) === EXTRA_ZIP64;
  const repeated =
    crc === central.crc32 &&
    (compressed === central.compressedSize || (zip64 && compressed === 0xffffffff)) &&
    (plain === central.uncompressedSize || (zip64 && plain === 0xffffffff));
  const blank =
    crc === 0 && [0, 0xffffffff].includes(compressed) && [0, 0xffffffff].includes(plain);
  if (!(repeated || (deferred && blank))) {
    throw corrupt(
      file.path,
      `Expected the sizes and CRC of ${JSON.stringify(central.fileName)} to equal its directory entry`,
      central.relativeOffsetOfLocalHeader + 14,
    );
  }
  if (!deferred) return dataEnd;
  const bytes = await descriptorBytes(file, central, dataEnd, limit);
  if (bytes === 0) {
    throw corrupt(
      file.path,
      `Expected a data descriptor after ${JSON.stringify(central.fileName)}`,
      dataEnd,
    );
  }
  return dataEnd + bytes;
}

/** Length of a descriptor that equals the directory entry: 16 bytes, 24 with 64-bit sizes, else 0. */
async function descriptorBytes(
  file: SourceFile,
  central: yauzl.Entry,
  at: number,
  limit: number,
): Promise<number> {
  const raw = await file.read(at, Math.min(24, limit - at));
  if (raw.length < 16 || raw.readUInt32LE(0) !== 0x08074b50) return 0;
  if (raw.readUInt32LE(4) !== central.crc32) return 0;
  if (
    raw.readUInt32LE(8) === central.compressedSize &&
    raw.readUInt32LE(12) === central.uncompressedSize
  ) {
    return 16;
  }
  const long =
    raw.length === 24 &&
    raw.readBigUInt64LE(8) === BigInt(central.compressedSize) &&
    raw.readBigUInt64LE(16) === BigInt(central.uncompressedSize);
  return long ? 24 : 0;
}

function checkNoOverlap(file: string, spans: Span[]): void {
  spans.sort((a, b) => a.start - b.start);
  for (let i = 1; i < spans.length; i++) {
    const [before, after] = [spans[i - 1]!, spans[i]!];
    if (after.start < before.end) {
      throw corrupt(file, `Zip entries "${before.name}" and "${after.name}" overlap`, after.start);
    }
  }
}
