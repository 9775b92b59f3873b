// A pickle machine that can only build data. It executes the opcodes that torch.save and TorchScript
// write (protocol 2) and no others, resolves the few globals that they name to inert markers, and
// calls nothing. Memo entries are shared, never cloned, so that no short file can unfold in memory.
import type { AcdClipError } from '../errors';
import { checkedAdd, checkedProduct, isSize, viewSpan } from './checked';
import { fromTorchStorage } from './dtypes';
import { corrupt, refused } from './failures';
import { LIMITS } from './limits';
import { opcodeName } from './pickle-opcodes';
import {
  type PickleDict,
  PickleGlobal,
  type PickleKey,
  PickleList,
  PickleTuple,
  type PickleValue,
  ScriptObject,
  StorageRef,
  TensorRef,
} from './pickle-values';
import { quote } from './strict-json';

export interface PickleOptions {
  /** Names the stream in messages. */
  file: string;
  /** Accept __torch__ classes as attribute holders. */
  script: boolean;
}

/** The one value of a pickle stream, or an error that names the opcode and its byte. */
export function readPickle(bytes: Buffer, options: PickleOptions): PickleValue {
  return new PickleMachine(bytes, options).run();
}

const DICT_GLOBAL = new PickleGlobal('dict', 'collections.OrderedDict');
const TENSOR_GLOBAL = new PickleGlobal('tensor', 'torch._utils._rebuild_tensor_v2');
const PARAMETER_GLOBAL = new PickleGlobal('parameter', 'torch._utils._rebuild_parameter');

// Typed attributes of scripted modules (Conv2d has one): build_*list([...]) and restore_type_tag(x, "T").
const SCRIPT_LISTS = ['build_intlist', 'build_doublelist', 'build_boollist', 'build_tensorlist'];

class PickleMachine {
  private at = 0;
  /** Offset of the opcode being executed. */
  private opAt = 0;
  private stack: PickleValue[] = [];
  /** Stacks that MARKs have set aside. */
  private readonly marks: PickleValue[][] = [];
  /** Values on the set-aside stacks. */
  private aside = 0;
  private readonly memo = new Map<number, PickleValue>();

  constructor(
    private readonly bytes: Buffer,
    private readonly options: PickleOptions,
  ) {}

  run(): PickleValue {
    if (this.u8() !== 0x80 || this.u8() !== 2) {
      throw this.refuse('Expected PROTO 2, the protocol that torch.save writes');
    }
    for (let ops = 0; ops < LIMITS.pickleOps; ops++) {
      this.opAt = this.at;
      const op = this.u8();
      if (op === 0x2e) return this.finish();
      this.step(op);
      if (this.stack.length + this.aside > LIMITS.pickleStack) {
        throw this.refuse(`Expected at most ${LIMITS.pickleStack} values on the pickle's stack`);
      }
    }
    throw this.refuse(`Expected at most ${LIMITS.pickleOps} pickle operations`);
  }

  private finish(): PickleValue {
    const value = this.pop();
    if (this.stack.length !== 0 || this.marks.length !== 0) {
      throw this.broken('Expected an empty stack at STOP');
    }
    if (this.at !== this.bytes.length) throw this.broken('Expected the pickle to end at STOP');
    return value;
  }

  private step(op: number): void {
    const push = OPERATIONS.get(op);
    if (push === undefined) throw this.refuse(`Refused pickle opcode ${opcodeName(op)}`);
    push(this);
  }

  // ------------------------------------------------------------------ operands

  u8(): number {
    this.need(1);
    return this.bytes[this.at++]!;
  }

  take(length: number): Buffer {
    this.need(length);
    this.at += length;
    return this.bytes.subarray(this.at - length, this.at);
  }

  private need(length: number): void {
    if (length > this.bytes.length - this.at) {
      throw this.broken(
        `Expected ${length} more bytes for ${this.opName()} but the pickle ends after ${this.bytes.length - this.at}`,
      );
    }
  }

  text(): string {
    const length = this.take(4).readUInt32LE(0);
    if (length > LIMITS.pickleStringBytes) {
      throw this.refuse(
        `Expected a string of at most ${LIMITS.pickleStringBytes} bytes, got ${length}`,
      );
    }
    const utf8 = this.take(length);
    try {
      return new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(utf8);
    } catch {
      throw this.broken('Expected UTF-8 text for BINUNICODE');
    }
  }

  /** Little-endian two's complement of 0 to 8 bytes; a number when exact. */
  long(): number | bigint {
    const length = this.u8();
    if (length > 8) throw this.refuse(`Expected an integer of at most 8 bytes, got ${length}`);
    let value = 0n;
    for (const [i, b] of this.take(length).entries()) value |= BigInt(b) << BigInt(8 * i);
    value = BigInt.asIntN(Math.max(1, 8 * length), value);
    const exact = Number(value);
    return Number.isSafeInteger(exact) ? exact : value;
  }

  private line(): string {
    const window = this.bytes.subarray(this.at, this.at + LIMITS.pickleGlobalBytes + 1);
    const length = window.indexOf(0x0a);
    if (length < 0 && window.length <= LIMITS.pickleGlobalBytes) {
      throw this.broken('Expected a line end in GLOBAL but the pickle ends');
    }
    if (length < 0) throw this.refuse('Expected a shorter name for GLOBAL');
    const line = this.take(length + 1).toString('latin1', 0, length);
    if (!/^[\w.]+$/.test(line)) throw this.refuse(`Refused pickle GLOBAL ${quote(line)}`);
    return line;
  }

  // ------------------------------------------------------------------ stack and memo

  push(value: PickleValue): void {
    this.stack.push(value);
  }

  pop(): PickleValue {
    if (this.stack.length === 0) throw this.broken(`Nothing on the stack for ${this.opName()}`);
    return this.stack.pop()!;
  }

  private top(): PickleValue {
    if (this.stack.length === 0) throw this.broken(`Nothing on the stack for ${this.opName()}`);
    return this.stack[this.stack.length - 1]!;
  }

  mark(): void {
    if (this.marks.length >= LIMITS.pickleDepth) {
      throw this.refuse(`Expected at most ${LIMITS.pickleDepth} open MARKs`);
    }
    this.marks.push(this.stack);
    this.aside += this.stack.length;
    this.stack = [];
  }

  popMark(): PickleValue[] {
    const below = this.marks.pop();
    if (below === undefined) throw this.broken(`No MARK for ${this.opName()}`);
    const items = this.stack;
    this.stack = below;
    this.aside -= below.length;
    return items;
  }

  put(index: number): void {
    if (index >= LIMITS.pickleMemo) {
      throw this.refuse(`Expected memo numbers below ${LIMITS.pickleMemo}, got ${index}`);
    }
    this.memo.set(index, this.top());
  }

  get(index: number): void {
    const value = this.memo.get(index);
    if (value === undefined) throw this.broken(`Expected memo entry ${index} for ${this.opName()}`);
    this.push(value);
  }

  tuple(length: number): void {
    const items: PickleValue[] = [];
    for (let i = 0; i < length; i++) items.unshift(this.pop());
    this.push(new PickleTuple(items));
  }

  // ------------------------------------------------------------------ containers

  setItems(items: readonly PickleValue[]): void {
    const target = this.top();
    if (!(target instanceof Map))
      throw this.refuse(`${this.opName()} on something that is no dictionary`);
    if (items.length % 2 !== 0) throw this.broken(`${this.opName()} with a key that has no value`);
    for (let i = 0; i < items.length; i += 2) target.set(this.key(items[i]!), items[i + 1]!);
  }

  private key(value: PickleValue): PickleKey {
    if (typeof value === 'string' || typeof value === 'number' || typeof value === 'boolean') {
      return value;
    }
    throw this.refuse('Expected a string or number as dictionary key');
  }

  append(items: readonly PickleValue[]): void {
    const target = this.top();
    if (!(target instanceof PickleList))
      throw this.refuse(`${this.opName()} on something that is no list`);
    for (const item of items) target.items.push(item);
  }

  /** State of an OrderedDict (module versions: not needed) or the attributes of a script object. */
  build(): void {
    const state = this.pop();
    const target = this.top();
    if (!(state instanceof Map)) throw this.refuse('BUILD with something that is no dictionary');
    if (target instanceof ScriptObject) target.attributes = state as PickleDict;
    else if (!(target instanceof Map)) throw this.refuse('BUILD on something that is no object');
  }

  // ------------------------------------------------------------------ globals

  global(): void {
    const module = this.line();
    const name = this.line();
    const found = this.resolve(module, name);
    if (found === undefined)
      throw this.refuse(`Refused pickle GLOBAL ${quote(`${module}.${name}`)}`);
    this.push(found);
  }

  private resolve(module: string, name: string): PickleGlobal | undefined {
    if (module === 'collections' && name === 'OrderedDict') return DICT_GLOBAL;
    if (module === 'torch._utils' && name === '_rebuild_tensor_v2') return TENSOR_GLOBAL;
    if (module === 'torch._utils' && name === '_rebuild_parameter') return PARAMETER_GLOBAL;
    if (module === 'torch') {
      const dtype = fromTorchStorage(name);
      return dtype && new PickleGlobal('storage', name, dtype);
    }
    return this.options.script ? this.resolveScript(module, name) : undefined;
  }

  private resolveScript(module: string, name: string): PickleGlobal | undefined {
    if (module === '__torch__' || module.startsWith('__torch__.')) {
      return new PickleGlobal('script', name);
    }
    if (module !== 'torch.jit._pickle') return undefined;
    if (SCRIPT_LISTS.includes(name)) return new PickleGlobal('script-list', name);
    return name === 'restore_type_tag' ? new PickleGlobal('script-tag', name) : undefined;
  }

  newObject(): void {
    const args = this.pop();
    const cls = this.pop();
    const plain = args instanceof PickleTuple && args.items.length === 0;
    if (!(cls instanceof PickleGlobal) || cls.role !== 'script' || !plain) {
      throw this.refuse('NEWOBJ of something that is no TorchScript class');
    }
    this.push(new ScriptObject());
  }

  reduce(): void {
    const args = this.pop();
    const callee = this.pop();
    if (!(callee instanceof PickleGlobal) || !(args instanceof PickleTuple)) {
      throw this.refuse('REDUCE of something that is no known global');
    }
    this.push(this.call(callee, args.items));
  }

  private call({ role, name }: PickleGlobal, args: readonly PickleValue[]): PickleValue {
    const [first, second] = args;
    if (role === 'dict' && args.length === 0) return new Map();
    if (role === 'tensor') return this.rebuildTensor(args);
    if (role === 'parameter' && first instanceof TensorRef) return first;
    if (role === 'script-list' && args.length === 1 && first instanceof PickleList) return first;
    if (role === 'script-tag' && args.length === 2 && typeof second === 'string') return first!;
    throw this.refuse(`REDUCE of ${name} with arguments that are not its own`);
  }

  persistentId(): void {
    const id = this.pop();
    const items = id instanceof PickleTuple ? id.items : [];
    const [kind, cls, key, device, numel] = items;
    const sound =
      items.length === 5 &&
      kind === 'storage' &&
      cls instanceof PickleGlobal &&
      cls.dtype !== undefined &&
      typeof key === 'string' &&
      /^\w{1,64}$/.test(key) &&
      typeof device === 'string' &&
      isSize(numel);
    if (!sound) throw this.refuse('Expected ("storage", class, key, device, numel) for BINPERSID');
    this.push(new StorageRef(key as string, (cls as PickleGlobal).dtype!, numel as number));
  }

  private rebuildTensor(args: readonly PickleValue[]): TensorRef {
    const [storage, offset, size, stride] = args;
    if (args.length < 6 || args.length > 7 || !(storage instanceof StorageRef) || !isSize(offset)) {
      throw this.refuse('Expected (storage, offset, size, stride, ...) for _rebuild_tensor_v2');
    }
    const shape = this.extents(size);
    const strides = this.extents(stride);
    const numel = checkedProduct(shape);
    const span = viewSpan(shape, strides);
    const end = span === undefined ? undefined : checkedAdd(offset, span);
    // numel <= storage: an expanded view (stride 0) would let a few bytes claim any size.
    const inside =
      strides.length === shape.length &&
      end !== undefined &&
      end <= storage.numel &&
      numel !== undefined &&
      numel <= storage.numel;
    if (!inside) {
      throw this.broken(
        `Expected a view inside the ${storage.numel} elements of storage ${storage.key}, got offset ${offset}, size [${shape}], stride [${strides}]`,
      );
    }
    return new TensorRef(storage, offset, shape, strides);
  }

  private extents(value: PickleValue | undefined): number[] {
    if (!(value instanceof PickleTuple) || !value.items.every(isSize)) {
      throw this.broken('Expected a tuple of non-negative integers for size and stride');
    }
    if (value.items.length > LIMITS.rank) {
      throw this.refuse(`Expected at most ${LIMITS.rank} axes, got ${value.items.length}`);
    }
    return value.items as number[];
  }

  // ------------------------------------------------------------------ errors

  private opName(): string {
    return opcodeName(this.bytes[this.opAt] ?? 0);
  }

  refuse(message: string): AcdClipError {
    return refused(`data.pkl of ${this.options.file}`, message, this.opAt);
  }

  private broken(message: string): AcdClipError {
    return corrupt(`data.pkl of ${this.options.file}`, message, this.opAt);
  }
}

/** The whole language. STOP is handled by run(). */
const OPERATIONS: ReadonlyMap<number, (m: PickleMachine) => void> = new Map([
  [0x28, (m) => m.mark()],
  [0x63, (m) => m.global()],
  [0x52, (m) => m.reduce()],
  [0x81, (m) => m.newObject()],
  [0x62, (m) => m.build()],
  [0x51, (m) => m.persistentId()],
  [0x71, (m) => m.put(m.u8())],
  [0x72, (m) => m.put(m.take(4).readUInt32LE(0))],
  [0x68, (m) => m.get(m.u8())],
  [0x6a, (m) => m.get(m.take(4).readUInt32LE(0))],
  [0x4e, (m) => m.push(null)],
  [0x88, (m) => m.push(true)],
  [0x89, (m) => m.push(false)],
  [0x4b, (m) => m.push(m.u8())],
  [0x4d, (m) => m.push(m.take(2).readUInt16LE(0))],
  [0x4a, (m) => m.push(m.take(4).readInt32LE(0))],
  [0x8a, (m) => m.push(m.long())],
  [0x47, (m) => m.push(m.take(8).readDoubleBE(0))],
  [0x58, (m) => m.push(m.text())],
  [0x29, (m) => m.tuple(0)],
  [0x85, (m) => m.tuple(1)],
  [0x86, (m) => m.tuple(2)],
  [0x87, (m) => m.tuple(3)],
  [0x74, (m) => m.push(new PickleTuple(m.popMark()))],
  [0x5d, (m) => m.push(new PickleList())],
  [0x61, (m) => m.append([m.pop()])],
  [0x65, (m) => m.append(m.popMark())],
  [0x7d, (m) => m.push(new Map())],
  [0x73, (m) => m.setItems([m.pop(), m.pop()].reverse())],
  [0x75, (m) => m.setItems(m.popMark())],
] satisfies [number, (m: PickleMachine) => void][]);
