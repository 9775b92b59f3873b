// safetensors files that lie: each named lie has its code, and none of them costs time or memory.
import { readCheckpoint } from '../../lib/checkpoint';
import { codeOf, put, safetensorsFile, temporaryFolder } from '../helpers/checkpoint-files';

const folder = temporaryFolder();
const CORRUPT = 'ERR_ACD_CHECKPOINT_CORRUPT';
const REFUSED = 'ERR_ACD_CHECKPOINT_REFUSED';
const FORMAT = 'ERR_ACD_CHECKPOINT_FORMAT';

const a = { dtype: 'F32', shape: [2, 3], data_offsets: [0, 24] };
const b = { dtype: 'F16', shape: [4], data_offsets: [24, 32] };
const data = Buffer.alloc(32, 1);
const sound = safetensorsFile({ __metadata__: { format: 'pt' }, a, b }, data);
/** One entry changed; `undefined` leaves the key out. */
const withA = (change: object) => safetensorsFile({ a: { ...a, ...change }, b }, data);
const json = (text: string, bytes: Uint8Array = data) => safetensorsFile(text, bytes);
const A = JSON.stringify(a);
const B = JSON.stringify(b);
const many = (n: number) =>
  Object.fromEntries(
    Array.from({ length: n }, (_, i) => [
      `t${i}`,
      { dtype: 'U8', shape: [0], data_offsets: [0, 0] },
    ]),
  );
const patched = (at: number, byte: number) => {
  const bytes = Buffer.from(sound);
  bytes[at] = byte;
  return bytes;
};

const cases: [name: string, bytes: Uint8Array, code: string][] = [
  ['an empty file', Buffer.alloc(0), FORMAT],
  ['half a length', sound.subarray(0, 4), FORMAT],
  ['a length alone', sound.subarray(0, 8), FORMAT],
  ['a length and a brace', sound.subarray(0, 9), CORRUPT],
  ['a header that ends in the middle', sound.subarray(0, 40), CORRUPT],
  ['data without its last byte', sound.subarray(0, sound.length - 1), CORRUPT],
  ['no data at all', safetensorsFile({ a, b }, Buffer.alloc(0)), CORRUPT],
  ['one byte too many', Buffer.concat([sound, Buffer.alloc(1)]), CORRUPT],
  ['a second file behind it', Buffer.concat([sound, sound]), CORRUPT],
  ['header length 0', safetensorsFile({ a, b }, data, 0n), CORRUPT],
  ['header length 1', safetensorsFile({ a, b }, data, 1n), CORRUPT],
  [
    'header length one too short',
    safetensorsFile({ a, b }, data, BigInt(JSON.stringify({ a, b }).length - 1)),
    CORRUPT,
  ],
  [
    'header length one too long',
    safetensorsFile({ a, b }, data, BigInt(JSON.stringify({ a, b }).length + 1)),
    CORRUPT,
  ],
  ['header length of the whole file', safetensorsFile({ a, b }, data, 1000n), CORRUPT],
  ['header length 2^31', safetensorsFile({ a, b }, data, 2n ** 31n), CORRUPT],
  ['header length 2^32', safetensorsFile({ a, b }, data, 2n ** 32n), CORRUPT],
  ['header length 2^53 + 1', safetensorsFile({ a, b }, data, 2n ** 53n + 1n), CORRUPT],
  ['header length 2^63', safetensorsFile({ a, b }, data, 2n ** 63n), CORRUPT],
  ['header length 2^64 - 1', safetensorsFile({ a, b }, data, 2n ** 64n - 1n), CORRUPT],
  [
    'a header of 17 MiB',
    safetensorsFile(`{"a":${A}${' '.repeat(17 << 20)}}`, data.subarray(0, 24)),
    REFUSED,
  ],
  ['a list as header', json('[1,2]'), FORMAT],
  ['a header that is no JSON', json('{a:1}'), CORRUPT],
  ['a trailing comma', json(`{"a":${A},"b":${B},}`), CORRUPT],
  ['a comment', json(`{"a":${A},/**/"b":${B}}`), CORRUPT],
  ['single quotes', json(`{'a':${A},"b":${B}}`), CORRUPT],
  ['two headers', json(`{"a":${A}}{"b":${B}}`), CORRUPT],
  ['text behind the header', json(`{"a":${A},"b":${B}}x`), CORRUPT],
  ['zeros behind the header', json(`{"a":${A},"b":${B}}\0`), CORRUPT],
  ['an open string', json(`{"a":${A},"b`), CORRUPT],
  ['a bad escape', json(`{"\\x61":${A},"b":${B}}`), CORRUPT],
  ['a raw line break in a name', json(`{"a\n":${A},"b":${B}}`), CORRUPT],
  [
    'bytes that are no UTF-8',
    safetensorsFile(`{"a":${A},"b":${B}}`, data).fill(0xff, 10, 11),
    CORRUPT,
  ],
  ['a tensor twice', json(`{"a":${A},"a":${A},"b":${B}}`), CORRUPT],
  ['a tensor twice, once escaped', json(`{"a":${A},"\\u0061":${A},"b":${B}}`), CORRUPT],
  ['a dtype twice', json(`{"a":{"dtype":"F32",${A.slice(1)},"b":${B}}`), CORRUPT],
  ['metadata twice', json(`{"__metadata__":{},"__metadata__":{},"a":${A},"b":${B}}`), CORRUPT],
  ['metadata that is a list', safetensorsFile({ __metadata__: ['x'], a, b }, data), CORRUPT],
  ['metadata with a number', safetensorsFile({ __metadata__: { x: 1 }, a, b }, data), CORRUPT],
  ['metadata with an object', safetensorsFile({ __metadata__: { x: {} }, a, b }, data), CORRUPT],
  [
    'metadata of 5,000 entries',
    safetensorsFile(
      { __metadata__: Object.fromEntries(Array.from({ length: 5000 }, (_, i) => [i, ''])), a, b },
      data,
    ),
    REFUSED,
  ],
  ['a tensor that is null', safetensorsFile({ a: null, b }, data), CORRUPT],
  ['a tensor that is a list', safetensorsFile({ a: [], b }, data), CORRUPT],
  ['no dtype', withA({ dtype: undefined }), CORRUPT],
  ['a dtype that is a number', withA({ dtype: 4 }), CORRUPT],
  ['an unknown dtype', withA({ dtype: 'F33' }), FORMAT],
  ['a dtype in lower case', withA({ dtype: 'f32' }), FORMAT],
  ['a dtype of Object.prototype', withA({ dtype: 'constructor' }), FORMAT],
  ['no shape', withA({ shape: undefined }), CORRUPT],
  ['a shape that is a number', withA({ shape: 6 }), CORRUPT],
  ['a negative extent', withA({ shape: [-2, -3] }), CORRUPT],
  ['a fractional extent', withA({ shape: [1.5, 4] }), CORRUPT],
  ['an extent in quotes', withA({ shape: ['2', 3] }), CORRUPT],
  ['an extent of 1e400', json(`{"a":${A.replace('[2,3]', '[1e400]')},"b":${B}}`), CORRUPT],
  ['an extent beyond 2^53', withA({ shape: [2 ** 60, 0] }), CORRUPT],
  ['a product that overflows', withA({ shape: [2 ** 40, 2 ** 40] }), CORRUPT],
  ['a product that overflows behind a zero', withA({ shape: [2 ** 40, 2 ** 40, 0] }), CORRUPT],
  ['a product that wraps 2^64 to 6', withA({ shape: [2 ** 32, 2 ** 32, 6] }), CORRUPT],
  ['nine axes', withA({ shape: [1, 1, 1, 1, 1, 1, 1, 2, 3] }), REFUSED],
  ['a shape too large for its bytes', withA({ shape: [2, 4] }), CORRUPT],
  ['a shape too small for its bytes', withA({ shape: [2, 2] }), CORRUPT],
  ['a zero extent over bytes', withA({ shape: [0, 3] }), CORRUPT],
  ['a dtype too wide for its bytes', withA({ dtype: 'F64' }), CORRUPT],
  ['a dtype too narrow for its bytes', withA({ dtype: 'F16' }), CORRUPT],
  ['no offsets', withA({ data_offsets: undefined }), CORRUPT],
  ['one offset', withA({ data_offsets: [0] }), CORRUPT],
  ['three offsets', withA({ data_offsets: [0, 24, 32] }), CORRUPT],
  ['offsets in reverse', withA({ data_offsets: [24, 0] }), CORRUPT],
  ['a negative offset', withA({ data_offsets: [-24, 0] }), CORRUPT],
  ['a fractional offset', withA({ data_offsets: [0.5, 24.5] }), CORRUPT],
  ['an offset beyond 2^53', withA({ data_offsets: [2 ** 60, 2 ** 60] }), CORRUPT],
  ['offsets beyond the file', withA({ data_offsets: [1000, 1024] }), CORRUPT],
  ['a hole at the start', safetensorsFile({ b }, data), CORRUPT],
  [
    'a hole between tensors',
    safetensorsFile({ a, b: { ...b, data_offsets: [25, 33] } }, Buffer.alloc(33)),
    CORRUPT,
  ],
  [
    'tensors that overlap by one byte',
    safetensorsFile({ a, b: { ...b, data_offsets: [23, 31] } }, data.subarray(0, 31)),
    CORRUPT,
  ],
  ['two tensors over the same bytes', safetensorsFile({ a, c: a, b }, data), CORRUPT],
  ['bytes that no tensor owns', safetensorsFile({ a }, data), CORRUPT],
  ['an unknown key', withA({ strides: [3, 1] }), CORRUPT],
  ['a name of 600 bytes', safetensorsFile({ ['n'.repeat(600)]: a, b }, data), REFUSED],
  ['an empty name', safetensorsFile({ '': a, b }, data), REFUSED],
  ['17,000 tensors', safetensorsFile(many(17_000), Buffer.alloc(0)), REFUSED],
  ['300,000 JSON values', json(`{"a":${A},"x":[${'0,'.repeat(300_000)}0]}`), REFUSED],
  ['JSON 100 levels deep', json(`{"a":${'['.repeat(100)}${']'.repeat(100)}}`), REFUSED],
  ['JSON a million levels deep', json(`{"a":${'['.repeat(1_000_000)}`), REFUSED],
  ['objects a million levels deep', json('{"a":'.repeat(1_000_000)), REFUSED],
  ['a byte-order mark before the brace', json(`\ufeff{"a":${A},"b":${B}}`), FORMAT],
  ['a first byte that is no brace', patched(8, 0x5b), FORMAT],
];

describe('a lie in a safetensors file has its code', () => {
  test.each(cases)('%s', async (_name, bytes, code) => {
    const file = put(folder, 'case.safetensors', bytes);
    const started = performance.now();
    expect(await codeOf(readCheckpoint(file))).toBe(code);
    expect(performance.now() - started).toBeLessThan(2000);
  });

  test('there are at least sixty of them', () => {
    expect(new Set(cases.map(([name]) => name)).size).toBeGreaterThanOrEqual(60);
  });
});

test('the sound file of which they are variations loads', async () => {
  const read = await readCheckpoint(put(folder, 'sound.safetensors', sound));
  expect([...read.tensors.values()].map((t) => [t.name, t.dtype, t.shape, t.bytes])).toEqual([
    ['a', 'f32', [2, 3], 24],
    ['b', 'f16', [4], 8],
  ]);
});

test('spaces behind the header and tensors without elements are sound', async () => {
  const empty = { dtype: 'F32', shape: [0, 4], data_offsets: [24, 24] };
  const file = put(
    folder,
    'odd.safetensors',
    json(`{"z":${JSON.stringify(empty)},"a":${A},"b":${B}}   `),
  );
  expect((await readCheckpoint(file)).tensors.size).toBe(3);
});

test('a file cut off at any byte is an error', async () => {
  for (let length = 0; length < sound.length; length++) {
    const code = await codeOf(
      readCheckpoint(put(folder, 'cut.safetensors', sound.subarray(0, length))),
    );
    expect([length, code]).toEqual([length, length < 9 ? FORMAT : CORRUPT]);
  }
});

test('a header with any bit flipped gives finite shapes inside the file or a listed code', async () => {
  const headerEnd = sound.length - data.length;
  for (let bit = 0; bit < headerEnd * 8; bit++) {
    const bytes = patched(bit >> 3, sound[bit >> 3]! ^ (1 << (bit & 7)));
    const file = put(folder, 'flip.safetensors', bytes);
    const code = await codeOf(
      readCheckpoint(file).then((c) => {
        for (const t of c.tensors.values()) {
          expect(t.offset + t.bytes).toBeLessThanOrEqual(bytes.length);
          expect(t.shape.every(Number.isSafeInteger)).toBe(true);
        }
      }),
    );
    expect(['no error', CORRUPT, REFUSED, FORMAT]).toContain(code);
  }
});

test('a refused header of 15 MiB costs no more than a few times its size', async () => {
  const header = `{${Array.from({ length: 200_000 }, (_, i) => `"name-of-tensor-${i}-${'x'.repeat(40)}":[]`).join(',')}}`;
  const file = put(folder, 'bloat.safetensors', json(header));
  globalThis.gc?.();
  const before = process.memoryUsage().rss;
  expect(await codeOf(readCheckpoint(file))).toBe(CORRUPT);
  expect(process.memoryUsage().rss - before).toBeLessThan(128 << 20);
});
