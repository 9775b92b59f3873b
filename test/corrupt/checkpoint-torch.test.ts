// torch archives that lie, in the zip around the pickle and in the tensors that the pickle claims.
import { deflateRawSync } from 'node:zlib';
import { readCheckpoint } from '../../lib/checkpoint';
import {
  codeOf,
  P,
  pickle,
  pickledDict,
  pickledTensor,
  put,
  raw,
  temporaryFolder,
  torchFile,
  torchZip,
  type ZipEnd,
  type ZipRecord,
} from '../helpers/checkpoint-files';

const folder = temporaryFolder();
const CORRUPT = 'ERR_ACD_CHECKPOINT_CORRUPT';
const REFUSED = 'ERR_ACD_CHECKPOINT_REFUSED';
const FORMAT = 'ERR_ACD_CHECKPOINT_FORMAT';

const values = Buffer.alloc(24, 7);
const stream = pickledDict([['w', pickledTensor()]]);
const sound = torchFile(stream, [values]);

/** The sound archive with one record changed. */
function changed(index: number, change: Partial<ZipRecord>): Buffer {
  const records: ZipRecord[] = [
    { name: 'archive/data.pkl', data: stream },
    { name: 'archive/byteorder', data: Buffer.from('little') },
    { name: 'archive/data/0', data: values },
    { name: 'archive/version', data: Buffer.from('3\n') },
  ];
  records[index] = { ...records[index]!, ...change };
  return torchZip(records);
}
const plus = (...records: ZipRecord[]) => torchFile(stream, [values], records);
const ending = (end: ZipEnd) => torchFile(stream, [values], [], end);
const tensor = (o: Parameters<typeof pickledTensor>[0], data: Uint8Array = values) =>
  torchFile(pickledDict([['w', pickledTensor(o)]]), [data]);
const extra = (id: number, bytes: Buffer) => {
  const head = Buffer.alloc(4);
  head.writeUInt16LE(id, 0);
  head.writeUInt16LE(bytes.length, 2);
  return Buffer.concat([head, bytes]);
};
const x = Buffer.from('x');
const end64 = (edit: (record: Buffer) => void) => ending({ edit });

const cases: [name: string, bytes: Uint8Array, code: string][] = [
  // The zip's end.
  ['a local header alone', sound.subarray(0, 30), CORRUPT],
  ['no end record', sound.subarray(0, sound.length - 22), CORRUPT],
  ['a byte behind the end', Buffer.concat([sound, x]), CORRUPT],
  ['a zip comment', ending({ comment: 'hello' }), CORRUPT],
  ['a comment that runs past the file', end64((e) => e.writeUInt16LE(9, e.length - 2)), CORRUPT],
  ['a second disk', end64((e) => e.writeUInt16LE(1, e.length - 18)), CORRUPT],
  ['counts of entries that differ', end64((e) => e.writeUInt16LE(3, e.length - 14)), CORRUPT],
  ['an entry more than there are', ending({ entries: 5 }), CORRUPT],
  ['an entry less than there are', ending({ entries: 3 }), CORRUPT],
  ['no entries', ending({ entries: 0 }), CORRUPT],
  ['an archive without entries', torchZip([]), FORMAT],
  ['20,000 entries', ending({ entries: 20_000 }), REFUSED],
  ['a directory that starts too early', ending({ offset: 0 }), CORRUPT],
  ['a directory that starts beyond the file', ending({ offset: 0xfffffff0 }), CORRUPT],
  ['a directory that is too long', ending({ bytes: 100_000 }), CORRUPT],
  ['a directory of no bytes', ending({ bytes: 0 }), CORRUPT],
  ['a ZIP64 record with another signature', end64((e) => e.writeUInt32LE(1, 0)), CORRUPT],
  ['a ZIP64 record of another length', end64((e) => e.writeUInt32LE(45, 4)), CORRUPT],
  ['a ZIP64 record on a second disk', end64((e) => e.writeUInt32LE(1, 16)), CORRUPT],
  ['a ZIP64 record with another count', end64((e) => e.writeUInt32LE(9, 32)), CORRUPT],
  ['a ZIP64 record with a directory beyond 2^53', end64((e) => e.fill(0xff, 48, 56)), CORRUPT],
  ['a ZIP64 record with a size beyond 2^53', end64((e) => e.fill(0xff, 40, 48)), CORRUPT],
  ['a ZIP64 locator that points elsewhere', end64((e) => e.writeUInt32LE(0, 64)), CORRUPT],
  ['a ZIP64 locator of two disks', end64((e) => e.writeUInt32LE(2, 72)), CORRUPT],
  // Entries.
  ['a name twice', plus({ name: 'archive/version', data: x }), CORRUPT],
  ['an absolute name', plus({ name: '/etc/passwd', data: x }), CORRUPT],
  ['a name that climbs out', plus({ name: 'archive/../../x', data: x }), CORRUPT],
  ['a name with a dot as part', plus({ name: 'archive/./x', data: x }), REFUSED],
  ['a name with an empty part', plus({ name: 'archive//x', data: x }), REFUSED],
  ['a folder entry', plus({ name: 'archive/x/', data: Buffer.alloc(0) }), REFUSED],
  ['a name with NUL', plus({ name: 'archive/x\0.txt', data: x }), REFUSED],
  ['a name with a line break', plus({ name: 'archive/x\n', data: x }), REFUSED],
  ['a name with a backslash', plus({ name: 'archive\\x', data: x }), CORRUPT],
  ['a drive letter', plus({ name: 'C:/x', data: x }), CORRUPT],
  [
    'a name that is no UTF-8',
    plus({ name: Buffer.from('archive/\xff', 'latin1'), data: x }),
    REFUSED,
  ],
  ['an empty name', plus({ name: '', data: x }), REFUSED],
  ['a name of 2,000 bytes', plus({ name: `archive/${'n'.repeat(2000)}`, data: x }), REFUSED],
  ['an entry in another folder', plus({ name: 'other/x', data: x }), CORRUPT],
  ['an entry at the top', plus({ name: 'x', data: x }), CORRUPT],
  ['an encrypted entry', changed(2, { flags: 0x0809 }), CORRUPT],
  [
    'an encrypted entry of the right length',
    changed(2, { flags: 0x0809, central: { compressed: 24, plain: 12 } }),
    REFUSED,
  ],
  ['strong encryption', changed(2, { flags: 0x0848 }), CORRUPT],
  ['a masked directory', changed(2, { flags: 0x2808 }), REFUSED],
  ['an unknown compression', changed(2, { method: 12 }), REFUSED],
  ['a deflated tensor', changed(2, { method: 8, data: deflateRawSync(values) }), REFUSED],
  ['a deflated pickle', changed(0, { method: 8, data: deflateRawSync(stream) }), REFUSED],
  ['a comment on an entry', changed(2, { central: { comment: 'c' } }), CORRUPT],
  [
    'a Unicode-path extra',
    changed(2, { central: { extra: extra(0x7075, Buffer.alloc(9)) } }),
    REFUSED,
  ],
  [
    'an extra field that runs past its end',
    changed(2, { central: { extra: Buffer.from([1, 0, 99, 0]) } }),
    CORRUPT,
  ],
  ['half an extra field', changed(2, { central: { extra: Buffer.from([1, 0]) } }), CORRUPT],
  ['an unknown local extra', changed(2, { local: { extra: extra(0x9999, x) } }), REFUSED],
  [
    'a local extra that runs past its end',
    changed(2, { local: { extra: Buffer.from([0x46, 0x42, 99, 0]) } }),
    CORRUPT,
  ],
  ['another local signature', changed(2, { local: { signature: 0x04034b51 } }), CORRUPT],
  ['another local name', changed(2, { local: { name: 'archive/data/1' } }), CORRUPT],
  ['a longer local name', changed(2, { local: { name: 'archive/data/00' } }), CORRUPT],
  ['other local flags', changed(2, { local: { flags: 0x0800 } }), CORRUPT],
  ['another local method', changed(2, { local: { method: 8 } }), CORRUPT],
  ['another local size', changed(2, { local: { compressed: 23, plain: 23, crc: 1 } }), CORRUPT],
  ['a local CRC that lies', changed(2, { local: { crc: 1 } }), CORRUPT],
  ['zero sizes without a descriptor', changed(2, { flags: 0x0800 }), CORRUPT],
  [
    'a descriptor with another CRC',
    changed(2, { descriptor: raw('PK\x07\x08aaaa\x18\0\0\0\x18\0\0\0') }),
    CORRUPT,
  ],
  ['a descriptor cut off', changed(2, { descriptor: raw('PK\x07\x08') }), CORRUPT],
  ['no descriptor', changed(2, { descriptor: Buffer.alloc(0) }), CORRUPT],
  [
    'a size in the directory that is too large',
    changed(2, { central: { compressed: 25, plain: 25 } }),
    CORRUPT,
  ],
  [
    'a size in the directory that is too small',
    changed(2, { central: { compressed: 23, plain: 23 } }),
    CORRUPT,
  ],
  ['a stored size unlike the plain one', changed(2, { central: { plain: 25 } }), CORRUPT],
  [
    'a size of 4 GiB',
    changed(2, { central: { compressed: 0xfffffffe, plain: 0xfffffffe } }),
    CORRUPT,
  ],
  [
    'a ZIP64 size without its extra',
    changed(2, { central: { compressed: 0xffffffff, plain: 0xffffffff } }),
    CORRUPT,
  ],
  [
    'a ZIP64 size beyond 2^53',
    changed(2, {
      central: {
        compressed: 0xffffffff,
        plain: 0xffffffff,
        extra: extra(1, Buffer.alloc(16, 0x7f)),
      },
    }),
    CORRUPT,
  ],
  [
    'a header offset in the directory itself',
    changed(2, { central: { offset: sound.length - 60 } }),
    CORRUPT,
  ],
  ['a header offset beyond the file', changed(2, { central: { offset: 0xfffffff0 } }), CORRUPT],
  [
    'two entries over the same bytes',
    changed(2, { central: { offset: 0, name: 'archive/data.pkl' } }),
    CORRUPT,
  ],
  [
    'an entry inside another',
    plus({
      name: 'archive/code/x',
      data: torchZip([{ name: 'archive/y', data: x }]),
      central: { offset: 1 },
    }),
    CORRUPT,
  ],
  // What the archive holds.
  ['no data.pkl', torchZip([{ name: 'archive/version', data: x }]), FORMAT],
  ['data.pkl at the top', torchZip([{ name: 'data.pkl', data: stream }]), FORMAT],
  ['two data.pkl', plus({ name: 'other/data.pkl', data: stream }), CORRUPT],
  ['a NumPy archive', torchZip([{ name: 'a.npy', data: x }]), FORMAT],
  ['a pickle whose CRC is wrong', changed(0, { crc: 5 }), CORRUPT],
  ['an empty pickle', changed(0, { data: Buffer.alloc(0) }), CORRUPT],
  ['a pickle of 17 MiB', changed(0, { data: Buffer.alloc(17 << 20) }), REFUSED],
  ['big-endian tensors', changed(1, { data: Buffer.from('big') }), FORMAT],
  ['a byte order of its own', changed(1, { data: Buffer.from('middle') }), CORRUPT],
  ['a byte order of a megabyte', changed(1, { data: Buffer.alloc(1 << 20) }), REFUSED],
  ['a byte order whose CRC is wrong', changed(1, { crc: 1 }), CORRUPT],
  ['no record for a tensor', changed(2, { name: 'archive/data/1' }), CORRUPT],
  ['a record one byte short', changed(2, { data: values.subarray(1) }), CORRUPT],
  ['a record one byte long', changed(2, { data: Buffer.alloc(25) }), CORRUPT],
  ['an empty record', changed(2, { data: Buffer.alloc(0) }), CORRUPT],
  // Tensors.
  ['a storage wider than its record', tensor({ storage: 'DoubleStorage' }), CORRUPT],
  ['a storage narrower than its record', tensor({ storage: 'HalfStorage' }), CORRUPT],
  ['a quantised storage', tensor({ storage: 'QInt8Storage' }), REFUSED],
  ['a complex storage', tensor({ storage: 'ComplexFloatStorage' }), REFUSED],
  ['a storage key that climbs out', tensor({ key: '../0' }), REFUSED],
  ['an empty storage key', tensor({ key: '' }), REFUSED],
  ['a negative count', tensor({ numel: P.int(-6) }), REFUSED],
  ['a fractional count', tensor({ numel: raw('G\x40\x18\x80\0\0\0\0\0') }), REFUSED],
  ['a count of NaN', tensor({ numel: raw('G\x7f\xf8\0\0\0\0\0\0') }), REFUSED],
  ['a count of 2^62', tensor({ numel: P.long('\0\0\0\0\0\0\0\x40') }), REFUSED],
  ['a count whose bytes overflow', tensor({ numel: P.long('\0\0\0\0\0\0\x10') }), CORRUPT],
  ['a negative offset', tensor({ offset: P.int(-1) }), REFUSED],
  ['an offset past the storage', tensor({ offset: P.int(1) }), CORRUPT],
  ['an offset of 2^52', tensor({ offset: P.long('\0\0\0\0\0\0\x10') }), CORRUPT],
  ['a shape larger than the storage', tensor({ size: [2, 4], stride: [4, 1] }), CORRUPT],
  ['a negative extent', tensor({ size: [-2, -3] }), CORRUPT],
  ['a stride past the storage', tensor({ stride: [4, 1] }), CORRUPT],
  ['a negative stride', tensor({ stride: [-3, 1] }), CORRUPT],
  [
    'a shape whose product overflows',
    tensor({ size: [2 ** 30, 2 ** 30], stride: [0, 0] }),
    CORRUPT,
  ],
  ['an expanded view of a million elements', tensor({ size: [1e6, 6], stride: [0, 1] }), CORRUPT],
  ['more strides than extents', tensor({ stride: [3, 1, 1] }), CORRUPT],
  ['no strides', tensor({ stride: [] }), CORRUPT],
  ['nine axes', tensor({ size: new Array(9).fill(1), stride: new Array(9).fill(1) }), REFUSED],
  ['a tensor without a name', torchFile(pickle(pickledTensor()), [values]), REFUSED],
  [
    'a tensor with a name of 600 bytes',
    torchFile(pickledDict([['n'.repeat(600), pickledTensor()]]), [values]),
    REFUSED,
  ],
  ['no tensors at all', torchFile(pickledDict([['epoch', P.int(3)]]), []), FORMAT],
  [
    'a list of tensors',
    torchFile(pickle(P.emptyList, pickledTensor(), P.append), [values]),
    FORMAT,
  ],
  [
    'one name reached in two ways',
    torchFile(
      pickledDict([
        ['a.b', pickledTensor()],
        ['a', Buffer.concat([P.emptyDict, P.text('b'), pickledTensor(), P.setItem])],
      ]),
      [values],
    ),
    CORRUPT,
  ],
];

describe('a lie in a torch archive has its code', () => {
  test.each(cases)('%s', async (_name, bytes, code) => {
    const file = put(folder, 'case.pth', bytes);
    const started = performance.now();
    expect(await codeOf(readCheckpoint(file))).toBe(code);
    expect(performance.now() - started).toBeLessThan(2000);
  });

  test('there are at least sixty of them', () => {
    expect(new Set(cases.map(([name]) => name)).size).toBeGreaterThanOrEqual(60);
  });
});

describe('what genuine archives do is accepted', () => {
  test('the sound archive of which the lies are variations', async () => {
    const read = await readCheckpoint(put(folder, 'sound.pth', sound));
    expect([...read.tensors.values()]).toMatchObject([
      { name: 'w', dtype: 'f32', shape: [2, 3], bytes: 24 },
    ]);
  });

  test.each<[string, Uint8Array]>([
    ['no ZIP64 records', ending({ zip64: false })],
    [
      'sizes and CRC in the local header',
      changed(2, {
        flags: 0x0800,
        descriptor: Buffer.alloc(0),
        crc: 0xebd2b8ed,
        local: { crc: 0xebd2b8ed, compressed: 24, plain: 24 },
      }),
    ],
    [
      'deflated code that is never read',
      plus({
        name: 'archive/code/x.py',
        method: 8,
        data: deflateRawSync(Buffer.alloc(9000)),
        plain: 9000,
      }),
    ],
    [
      'a tensor of no elements',
      tensor({ numel: P.int(0), size: [0, 3], stride: [3, 1] }, Buffer.alloc(0)),
    ],
    ['a view into the middle', tensor({ offset: P.int(2), size: [2], stride: [2] })],
    [
      'a missing byteorder',
      torchZip([
        { name: 'a/data.pkl', data: stream },
        { name: 'a/data/0', data: values },
      ]),
    ],
  ])('%s', async (_name, bytes) => {
    const read = await readCheckpoint(put(folder, 'fine.pth', bytes));
    expect(read.tensors.size).toBe(1);
  });
});

test('an archive cut off at any byte is an error', async () => {
  for (let length = 0; length < sound.length; length++) {
    const code = await codeOf(readCheckpoint(put(folder, 'cut.pth', sound.subarray(0, length))));
    expect([length, code]).toEqual([length, length < 4 ? FORMAT : CORRUPT]);
  }
});

test('any bit flipped outside the data gives tensors inside the file or a listed code', async () => {
  for (let bit = 0; bit < sound.length * 8; bit += 3) {
    const bytes = Buffer.from(sound);
    bytes[bit >> 3]! ^= 1 << (bit & 7);
    const work = readCheckpoint(put(folder, 'flip.pth', bytes)).then((c) => {
      for (const t of c.tensors.values()) {
        expect(t.offset + t.bytes).toBeLessThanOrEqual(bytes.length);
        expect(t.shape.every(Number.isSafeInteger)).toBe(true);
      }
    });
    expect(['no error', CORRUPT, REFUSED, FORMAT]).toContain(await codeOf(work));
  }
});
