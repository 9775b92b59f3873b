// Emits the small part of pickle protocol 2 that a state dict needs, in the form that
// torch.load(weights_only=True) and this package's own reader accept.
import { AcdClipError } from '../errors';
import { checkedProduct, contiguousStrides } from './checked';
import { toTorchStorage } from './dtypes';
import type { WritableTensor } from './tensor-bytes';

/** What a .pth can hold: dictionaries of tensors, numbers, strings, booleans, null and more of them. */
export type TorchValue = null | boolean | number | string | WritableTensor | TorchDict;
export type TorchDict = ReadonlyMap<string, TorchValue>;

export interface PickledValue {
  pickle: Buffer;
  /** Tensor i is the archive's record data/i. */
  tensors: WritableTensor[];
}

export function writePickle(value: TorchDict): PickledValue {
  const writer = new PickleWriter();
  writer.value(value);
  return { pickle: writer.finish(), tensors: writer.tensors };
}

class PickleWriter {
  readonly tensors: WritableTensor[] = [];
  private readonly parts: Buffer[] = [Buffer.from([0x80, 2])];

  finish(): Buffer {
    this.op('.');
    return Buffer.concat(this.parts);
  }

  value(value: TorchValue): void {
    if (value === null) this.op('N');
    else if (typeof value === 'boolean') this.op(value ? '\x88' : '\x89');
    else if (typeof value === 'number') this.number(value);
    else if (typeof value === 'string') this.text(value);
    else if (value instanceof Map) this.dict(value);
    else this.tensor(value as WritableTensor);
  }

  private op(bytes: string): void {
    this.parts.push(Buffer.from(bytes, 'latin1'));
  }

  private text(text: string): void {
    const utf8 = Buffer.from(text, 'utf8');
    const head = Buffer.from('X\0\0\0\0');
    head.writeUInt32LE(utf8.length, 1);
    this.parts.push(head, utf8);
  }

  private number(value: number): void {
    const integer = Number.isSafeInteger(value) && !Object.is(value, -0);
    const small = integer && value >= -(2 ** 31) && value < 2 ** 31;
    const bytes = Buffer.alloc(small ? 5 : integer ? 10 : 9);
    if (small) {
      bytes.write('J');
      bytes.writeInt32LE(value, 1);
    } else if (integer) {
      bytes.write('\x8a\x08', 'latin1');
      bytes.writeBigInt64LE(BigInt(value), 2);
    } else {
      bytes.write('G');
      bytes.writeDoubleBE(value, 1);
    }
    this.parts.push(bytes);
  }

  private dict(dict: TorchDict): void {
    this.op('}(');
    for (const [key, value] of dict) {
      this.text(key);
      this.value(value);
    }
    this.op('u');
  }

  private tensor(tensor: WritableTensor): void {
    const storage = toTorchStorage(tensor.dtype);
    if (storage === undefined) {
      throw new AcdClipError(
        'ERR_ACD_UNSUPPORTED',
        `Cannot write tensor ${tensor.name}: torch's classic storages have no ${tensor.dtype}`,
        { help: 'Write a .safetensors file instead.' },
      );
    }
    this.op('ctorch._utils\n_rebuild_tensor_v2\n((');
    this.text('storage');
    this.op(`ctorch\n${storage}\n`);
    this.text(String(this.tensors.length));
    this.text('cpu');
    this.number(checkedProduct(tensor.shape)!);
    this.op('tQ');
    this.number(0);
    this.extents(tensor.shape);
    this.extents(contiguousStrides(tensor.shape));
    this.op('\x89ccollections\nOrderedDict\n)RtR');
    this.tensors.push(tensor);
  }

  private extents(extents: readonly number[]): void {
    this.op('(');
    for (const extent of extents) this.number(extent);
    this.op('t');
  }
}
