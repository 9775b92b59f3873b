// For all files: what is written is read, and what is broken is an error of ours. Mutants are aware of
// the structure: lengths, CRCs and offsets are repaired after the edit, so that it reaches the deep checks.
import { readFileSync } from 'node:fs';
import * as path from 'node:path';
import fc from 'fast-check';
import {
  type CheckpointDtype,
  describeCheckpoint,
  readCheckpoint,
  type TorchValue,
  type WritableTensor,
  writeSafetensors,
  writeTorch,
} from '../../lib/checkpoint';
import { checkedProduct, isContiguous, viewSpan } from '../../lib/checkpoint/checked';
import { ITEM_BYTES } from '../../lib/checkpoint/dtypes';
import { readPickle } from '../../lib/checkpoint/pickle';
import { AcdClipError } from '../../lib/errors';
import {
  codeOf,
  FIXTURES,
  P,
  pickle,
  pickledDict,
  pickledTensor,
  put,
  safetensorsFile,
  temporaryFolder,
  tensorBytesOf,
  torchFile,
} from '../helpers/checkpoint-files';

const folder = temporaryFolder();
const LISTED = [
  'no error',
  'ERR_ACD_CHECKPOINT_CORRUPT',
  'ERR_ACD_CHECKPOINT_REFUSED',
  'ERR_ACD_CHECKPOINT_FORMAT',
];

/** Reads and describes a file; whatever loads must lie inside it. */
async function survive(name: string, bytes: Uint8Array): Promise<void> {
  const file = put(folder, name, bytes);
  const code = await codeOf(
    readCheckpoint(file).then(async (c) => {
      for (const t of c.tensors.values()) {
        const elements = checkedProduct(t.shape);
        expect(elements).toBeDefined();
        expect(t.offset + t.bytes).toBeLessThanOrEqual(bytes.length);
        if (t.strides === undefined) expect(t.bytes).toBe(elements! * ITEM_BYTES[t.dtype]);
      }
      await describeCheckpoint(file);
    }),
  );
  expect(LISTED).toContain(code);
}

interface Edit {
  at: number;
  kind: 'set' | 'flip' | 'insert' | 'delete' | 'copy' | 'interesting';
  value: number;
  length: number;
}

const edit: fc.Arbitrary<Edit> = fc.record({
  at: fc.double({ min: 0, max: 1, maxExcluded: true, noNaN: true }),
  kind: fc.constantFrom('set', 'flip', 'insert', 'delete', 'copy', 'interesting'),
  value: fc.nat(255),
  length: fc.integer({ min: 1, max: 24 }),
});
const INTERESTING = [0, 1, 0x7f, 0x80, 0xff];

function mutate(bytes: Uint8Array, edits: readonly Edit[]): Buffer {
  let out = Buffer.from(bytes);
  for (const { at, kind, value, length } of edits) {
    const i = Math.floor(at * Math.max(1, out.length));
    const rest = out.subarray(Math.min(out.length, i + length));
    const head = out.subarray(0, i);
    if (kind === 'set') out.subarray(i, i + 1).fill(value);
    else if (kind === 'flip') out.subarray(i, i + 1).fill((out[i] ?? 0) ^ (1 << (value & 7)));
    else if (kind === 'interesting')
      out.subarray(i, i + (length % 8) + 1).fill(INTERESTING[value % 5]!);
    else if (kind === 'insert')
      out = Buffer.concat([head, Buffer.alloc(length, value), out.subarray(i)]);
    else if (kind === 'delete') out = Buffer.concat([head, rest]);
    else out = Buffer.concat([head, out.subarray(i, i + length), out.subarray(i)]);
  }
  return out;
}

const edits = fc.array(edit, { minLength: 1, maxLength: 4 });

const dtypes: CheckpointDtype[] = [
  'f64',
  'f32',
  'f16',
  'bf16',
  'i64',
  'i32',
  'i16',
  'i8',
  'u8',
  'bool',
];
const tensors: fc.Arbitrary<WritableTensor[]> = fc.uniqueArray(
  fc
    .record({
      name: fc
        .string({ unit: 'grapheme', minLength: 1, maxLength: 20 })
        .filter((n) => !n.includes('.') && n !== '__metadata__' && n !== 'state_dict'),
      dtype: fc.constantFrom(...dtypes),
      shape: fc.array(fc.integer({ min: 0, max: 5 }), { maxLength: 4 }),
      seed: fc.nat(255),
    })
    .map(({ name, dtype, shape, seed }) => ({
      name,
      dtype,
      shape,
      data: Buffer.alloc((checkedProduct(shape) ?? 0) * ITEM_BYTES[dtype], seed),
    })),
  { selector: (t) => t.name, minLength: 1, maxLength: 12 },
);

describe('what is written is read', () => {
  test('any tensors through safetensors', async () => {
    await fc.assert(
      fc.asyncProperty(tensors, fc.dictionary(fc.string(), fc.string()), async (list, metadata) => {
        const file = path.join(folder, 'any.safetensors');
        await writeSafetensors(file, list, new Map(Object.entries(metadata)), { overwrite: true });
        const read = await readCheckpoint(file);
        expect([...read.tensors.keys()]).toEqual(list.map((t) => t.name));
        for (const t of list) {
          expect(read.tensors.get(t.name)).toMatchObject({ dtype: t.dtype, shape: t.shape });
          expect(tensorBytesOf(read, t.name).equals(t.data as Buffer)).toBe(true);
        }
        expect([...read.metadata]).toEqual(Object.entries(metadata));
      }),
      { numRuns: 200 },
    );
  });

  test('any tensors through torch’s zip', async () => {
    await fc.assert(
      fc.asyncProperty(tensors, async (list) => {
        const file = path.join(folder, 'any.pth');
        const value = new Map<string, TorchValue>(list.map((t) => [t.name, t]));
        await writeTorch(file, value, { overwrite: true });
        const read = await readCheckpoint(file);
        expect([...read.tensors.keys()]).toEqual(list.map((t) => t.name));
        for (const t of list) {
          expect(read.tensors.get(t.name)).toMatchObject({ dtype: t.dtype, shape: t.shape });
          expect(tensorBytesOf(read, t.name).equals(t.data as Buffer)).toBe(true);
        }
      }),
      { numRuns: 100 },
    );
  });
});

describe('what is broken is an error of ours', () => {
  const stream = pickledDict([
    ['w', pickledTensor()],
    ['epoch', P.int(7)],
    [
      'inner',
      Buffer.concat([
        P.emptyDict,
        P.text('v'),
        pickledTensor({ size: [6], stride: [1] }),
        P.setItem,
      ]),
    ],
  ]);
  const header = JSON.stringify({
    __metadata__: { format: 'pt' },
    a: { dtype: 'F32', shape: [2, 3], data_offsets: [0, 24] },
    b: { dtype: 'BF16', shape: [4], data_offsets: [24, 32] },
  });

  test('5,000 mutants of a pickle stream', () => {
    fc.assert(
      fc.property(edits, fc.boolean(), (list, script) => {
        try {
          readPickle(mutate(stream, list), { file: 'm', script });
        } catch (error) {
          if (!(error instanceof AcdClipError)) throw error;
          expect(LISTED).toContain(error.code);
        }
      }),
      { numRuns: 5000 },
    );
  });

  test('2,000 mutants of a genuine TorchScript pickle', () => {
    const whole = readFileSync(path.join(FIXTURES, 'openai-tiny.pt'));
    const start = whole.indexOf(Buffer.from('\x80\x02c__torch__', 'latin1'));
    const genuine = whole.subarray(start, start + 7179);
    fc.assert(
      fc.property(edits, (list) => {
        try {
          readPickle(mutate(genuine, list), { file: 'm', script: true });
        } catch (error) {
          if (!(error instanceof AcdClipError)) throw error;
          expect(LISTED).toContain(error.code);
        }
      }),
      { numRuns: 2000 },
    );
  });

  test('1,000 mutants of a pickle inside a sound archive', async () => {
    await fc.assert(
      fc.asyncProperty(edits, (list) =>
        survive('mutant.pth', torchFile(mutate(stream, list), [Buffer.alloc(24)])),
      ),
      { numRuns: 1000 },
    );
  });

  test('1,500 mutants of a whole archive', async () => {
    const sound = torchFile(stream, [Buffer.alloc(24)]);
    await fc.assert(
      fc.asyncProperty(edits, (list) => survive('mutant.zip', mutate(sound, list))),
      { numRuns: 1500 },
    );
  });

  test('1,500 mutants of a safetensors header with its length repaired', async () => {
    await fc.assert(
      fc.asyncProperty(edits, (list) => {
        const text = mutate(Buffer.from(header), list);
        const whole = safetensorsFile(
          '',
          Buffer.concat([text, Buffer.alloc(32)]),
          BigInt(text.length),
        );
        return survive('mutant.safetensors', whole);
      }),
      { numRuns: 1500 },
    );
  });

  test('1,000 safetensors headers with numbers from the edge of what numbers are', async () => {
    const number = fc.oneof(
      fc.constantFrom(
        0,
        1,
        24,
        32,
        -1,
        2 ** 31,
        2 ** 32,
        2 ** 53 - 1,
        2 ** 53,
        2 ** 63,
        1e308,
        0.5,
      ),
      fc.nat(40),
    );
    const entry = fc.record({
      dtype: fc.constantFrom('F32', 'F16', 'U8', 'I64', 'F8_E4M3'),
      shape: fc.array(number, { maxLength: 4 }),
      data_offsets: fc.array(number, { minLength: 1, maxLength: 3 }),
    });
    await fc.assert(
      fc.asyncProperty(fc.dictionary(fc.string({ minLength: 1, maxLength: 3 }), entry), (entries) =>
        survive('edge.safetensors', safetensorsFile(entries, Buffer.alloc(32))),
      ),
      { numRuns: 1000 },
    );
  });

  test('2,000 tensors with views from the edge', () => {
    const extent = fc.oneof(
      fc.constantFrom(0, 1, 2, 3, 6, 7, 2 ** 31 - 1),
      fc.integer({ min: -2, max: 8 }),
    );
    const extents = fc.array(extent, { maxLength: 4 });
    fc.assert(
      fc.property(extents, extents, extent, (size, stride, offset) => {
        const bytes = pickle(pickledTensor({ size, stride, offset: P.int(offset) }));
        try {
          const view = readPickle(bytes, { file: 'm', script: false }) as never as {
            offset: number;
            shape: number[];
            strides: number[];
          };
          expect(view.offset + viewSpan(view.shape, view.strides)!).toBeLessThanOrEqual(6);
          expect(checkedProduct(view.shape)).toBeLessThanOrEqual(6);
        } catch (error) {
          if (!(error instanceof AcdClipError)) throw error;
        }
      }),
      { numRuns: 2000 },
    );
  });

  test('noise behind each magic number', async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.constantFrom(
          'PK\x03\x04',
          'PK\x05\x06',
          '\x80\x02',
          '{',
          '\x10\0\0\0\0\0\0\0{',
          '<html',
        ),
        fc.uint8Array({ maxLength: 5000 }),
        (magic, noise) => survive('noise', Buffer.concat([Buffer.from(magic, 'latin1'), noise])),
      ),
      { numRuns: 500 },
    );
  });
});

describe('arithmetic on views', () => {
  test('a span is what walking the view finds', () => {
    const pairs = fc.array(fc.tuple(fc.nat(4), fc.nat(6)), { maxLength: 4 });
    fc.assert(
      fc.property(pairs, (axes) => {
        const [shape, strides] = [axes.map((a) => a[0]), axes.map((a) => a[1])];
        let offsets = [0];
        for (const [n, s] of axes)
          offsets = offsets.flatMap((o) => Array.from({ length: n }, (_, i) => o + i * s));
        expect(viewSpan(shape, strides)).toBe(offsets.length === 0 ? 0 : Math.max(...offsets) + 1);
        expect(isContiguous(shape, strides)).toBe(offsets.every((o, i) => o === i));
      }),
    );
  });
});
