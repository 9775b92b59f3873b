// Files of torch.save and of torch.jit.save: a zip archive whose data.pkl describes the tensors and
// whose records data/<key> hold their bytes. Code in the archive is never looked at.
import { crc32 } from 'node:zlib';
import { checkedAdd, checkedMul, checkedProduct, isContiguous, viewSpan } from './checked';
import type { CheckpointTensor, MetadataValue } from './checkpoint';
import { ITEM_BYTES } from './dtypes';
import { corrupt, refused, unsupportedFormat } from './failures';
import { LIMITS } from './limits';
import { readPickle } from './pickle';
import {
  type PickleDict,
  PickleList,
  PickleTuple,
  type PickleValue,
  ScriptObject,
  TensorRef,
} from './pickle-values';
import type { TensorTable } from './safetensors';
import type { SourceFile } from './source-file';
import { quote } from './strict-json';
import { readZipDirectory, type ZipEntry } from './zip-directory';

export interface TorchTable extends TensorTable {
  format: 'torch' | 'torchscript';
}

/** Reads the tensor table of a torch archive; tensors belong to file 0. */
export async function readTorchArchive(
  file: SourceFile,
  signal?: AbortSignal,
): Promise<TorchTable> {
  const entries = await readZipDirectory(file, signal);
  const root = findRoot(file.path, entries);
  await checkByteOrder(file, entries.get(`${root}byteorder`));
  const script = entries.has(`${root}constants.pkl`);
  const data = await readRecord(file, entries.get(`${root}data.pkl`)!, LIMITS.pickleBytes);
  signal?.throwIfAborted();
  const value = readPickle(data, { file: file.path, script });
  const table = new Flattener(file, entries, root).flatten(value);
  if (table.tensors.size === 0) {
    throw unsupportedFormat(file.path, 'Expected tensors but found none', describeTop(value));
  }
  return { ...table, format: script ? 'torchscript' : 'torch' };
}

/** The one folder that everything in a torch archive lies in, with its slash. */
function findRoot(file: string, entries: ReadonlyMap<string, ZipEntry>): string {
  const names = [...entries.keys()];
  const pickles = names.filter((n) => /^[^/]+\/data\.pkl$/.test(n));
  const root = pickles[0]?.slice(0, -'data.pkl'.length);
  if (root === undefined) {
    const what = names[0]?.endsWith('.npy')
      ? 'a NumPy archive (.npz)'
      : 'a zip archive that torch did not write (no data.pkl in it)';
    throw unsupportedFormat(file, `Expected a checkpoint but found ${what}`);
  }
  const stray = names.find((n) => !n.startsWith(root));
  if (stray !== undefined) {
    throw corrupt(file, `Expected every zip entry under ${quote(root)} but found ${quote(stray)}`);
  }
  return root;
}

async function readRecord(file: SourceFile, entry: ZipEntry, limit: number): Promise<Buffer> {
  if (!entry.stored)
    throw refused(file.path, `Expected ${quote(entry.name)} to be stored, not compressed`);
  if (entry.bytes > limit) {
    throw refused(
      file.path,
      `Expected at most ${limit} bytes for ${quote(entry.name)}, got ${entry.bytes}`,
    );
  }
  const bytes = await file.read(entry.offset, entry.bytes);
  if (crc32(bytes) !== entry.crc32) {
    throw corrupt(
      file.path,
      `The CRC of ${quote(entry.name)} does not match its bytes`,
      entry.offset,
    );
  }
  return bytes;
}

async function checkByteOrder(file: SourceFile, entry: ZipEntry | undefined): Promise<void> {
  // Absent before PyTorch 2.1, when every archive was little-endian.
  if (entry === undefined) return;
  const order = (await readRecord(file, entry, 16)).toString('latin1');
  if (order === 'big') {
    throw unsupportedFormat(file.path, 'Expected little-endian tensors but found big-endian ones');
  }
  if (order !== 'little')
    throw corrupt(file.path, `Unknown byteorder ${quote(order)}`, entry.offset);
}

function describeTop(value: PickleValue): string {
  if (!(value instanceof Map)) return 'Save a state dict: a dictionary from names to tensors.';
  const keys = [...value.keys()].slice(0, 5).map((k) => quote(String(k)));
  return `The dictionary's keys are ${keys.join(', ') || 'none'}; a state dict maps names to tensors.`;
}

class Flattener {
  private readonly tensors = new Map<string, CheckpointTensor>();
  private readonly metadata = new Map<string, MetadataValue>();
  private nodes = 0;

  constructor(
    private readonly file: SourceFile,
    private readonly entries: ReadonlyMap<string, ZipEntry>,
    private readonly root: string,
  ) {}

  flatten(value: PickleValue): TensorTable {
    const inner = value instanceof Map ? value.get('state_dict') : undefined;
    if (inner instanceof Map) {
      // Beside a state_dict lie things of training (optimizer, args): only their plain values count.
      for (const [key, v] of value as PickleDict) if (isScalar(v)) this.scalar(String(key), v);
      this.visit('', inner, 0);
    } else {
      this.visit('', value, 0);
    }
    return { tensors: this.tensors, metadata: this.metadata };
  }

  private visit(name: string, value: PickleValue, depth: number): void {
    this.nodes++;
    if (this.nodes > LIMITS.treeNodes || depth > LIMITS.pickleDepth) {
      throw refused(
        this.file.path,
        `Expected at most ${LIMITS.treeNodes} values nested at most ${LIMITS.pickleDepth} deep`,
      );
    }
    if (value instanceof TensorRef) this.tensor(name, value);
    else if (value instanceof Map) this.children(name, value, depth);
    else if (value instanceof ScriptObject) this.module(name, value, depth);
    else if (value instanceof PickleList || value instanceof PickleTuple) return;
    else if (isScalar(value)) this.scalar(name, value);
  }

  private children(name: string, values: PickleDict, depth: number): void {
    for (const [key, value] of values) {
      this.visit(name === '' ? String(key) : `${name}.${key}`, value, depth + 1);
    }
  }

  /** Of a module tree, only the root's numbers describe the model; parts have flags and paddings. */
  private module(name: string, object: ScriptObject, depth: number): void {
    const kept = [...object.attributes].filter(
      ([key, value]) => key !== 'training' && (name === '' || !isScalar(value)),
    );
    this.children(name, new Map(kept), depth);
  }

  private scalar(name: string, value: MetadataValue): void {
    if (this.metadata.size >= LIMITS.metadataEntries) {
      throw refused(this.file.path, `Expected at most ${LIMITS.metadataEntries} plain values`);
    }
    this.metadata.set(name, value);
  }

  private tensor(name: string, ref: TensorRef): void {
    const what = `tensor ${quote(name)}`;
    const path = this.file.path;
    if (name === '' || Buffer.byteLength(name) > LIMITS.nameBytes) {
      throw refused(path, `Expected a name of 1 to ${LIMITS.nameBytes} bytes for ${what}`);
    }
    if (this.tensors.has(name))
      throw corrupt(path, `Expected each name once but found ${what} again`);
    if (this.tensors.size >= LIMITS.tensors) {
      throw refused(path, `Expected at most ${LIMITS.tensors} tensors`);
    }
    const record = this.record(what, ref);
    const item = ITEM_BYTES[ref.storage.dtype];
    const contiguous = isContiguous(ref.shape, ref.strides);
    const elements = contiguous ? checkedProduct(ref.shape) : viewSpan(ref.shape, ref.strides);
    const skip = checkedMul(ref.offset, item);
    const bytes = elements === undefined ? undefined : checkedMul(elements, item);
    const offset = skip === undefined ? undefined : checkedAdd(record.offset, skip);
    if (bytes === undefined || offset === undefined) throw corrupt(path, `${what} is too large`);
    this.tensors.set(name, {
      name,
      dtype: ref.storage.dtype,
      shape: [...ref.shape],
      file: 0,
      offset,
      bytes,
      ...(contiguous ? {} : { strides: [...ref.strides] }),
    });
  }

  /** The record of a tensor's storage, which must hold exactly the elements that the pickle says. */
  private record(what: string, ref: TensorRef): ZipEntry {
    const name = `${this.root}data/${ref.storage.key}`;
    const record = this.entries.get(name);
    if (record === undefined) {
      throw corrupt(this.file.path, `Expected record ${quote(name)} for ${what}`);
    }
    if (!record.stored) {
      throw refused(this.file.path, `Expected ${quote(name)} to be stored, not compressed`);
    }
    const bytes = checkedMul(ref.storage.numel, ITEM_BYTES[ref.storage.dtype]);
    if (bytes !== record.bytes) {
      throw corrupt(
        this.file.path,
        `Expected ${bytes ?? 'a countable number of'} bytes in ${quote(name)} for ${what} (${ref.storage.numel} x ${ref.storage.dtype}) but it has ${record.bytes}`,
        record.offset,
      );
    }
    return record;
  }
}

function isScalar(value: PickleValue): value is MetadataValue {
  return typeof value === 'string' || typeof value === 'number' || typeof value === 'boolean';
}
