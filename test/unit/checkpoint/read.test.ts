// The door itself: which parser a file gets, what a foreign file is told, shards, prefixes, aborts.
import { mkdirSync, symlinkSync } from 'node:fs';
import * as path from 'node:path';
import {
  LIMITS,
  readCheckpoint,
  type WritableTensor,
  writeSafetensors,
} from '../../../lib/checkpoint';
import {
  codeOf,
  FIXTURES,
  P,
  pickle,
  pickledDict,
  pickledTensor,
  put,
  raw,
  safetensorsFile,
  synthTensor,
  temporaryFolder,
  tensorValues,
  torchFile,
  torchZip,
} from '../../helpers/checkpoint-files';
import { tensor as synth } from '../../helpers/synth';

const folder = temporaryFolder();
const load = (name: string, bytes: Uint8Array | string) => readCheckpoint(put(folder, name, bytes));

describe('a foreign file is told what it looks like', () => {
  test.each([
    ['', 'an empty file'],
    ['<!DOCTYPE html><html></html>', 'an HTML page'],
    ['\n<html><body>404</body></html>', 'an HTML page'],
    ['<?xml version="1.0"?><Error/>', 'an XML document'],
    ['{"error": "not found"}', 'a JSON document without weight_map'],
    ['[1, 2]', 'a JSON list'],
    ['Not Found', 'a text file'],
    ['größer als früher', 'a text file'],
    ['version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n', 'a Git LFS pointer'],
    [raw('\x80\x02}q\0.'), 'a bare Python pickle'],
    [raw('\x80\x04\x95'), 'a bare Python pickle'],
    [raw('\x80\x02\x8a\x0al\xfc\x9cF\xf9 j\xa8P\x19.'), 'before PyTorch 1.6'],
    [Buffer.concat([Buffer.alloc(257, 'a'), raw('ustar\0')]), 'a tar archive'],
    [raw('PK\x05\x06'), 'a zip archive without entries'],
    [raw('GGUF\x03\0\0\0'), 'a GGUF model'],
    [raw('\x89HDF\r\n\x1a\n'), 'an HDF5'],
    [raw('\x93NUMPY\x01\0'), 'a NumPy array'],
    [raw('\x1f\x8b\x08\0'), 'a gzip archive'],
    [raw('\x89PNG\r\n\x1a\n'), 'a PNG picture'],
    [raw('\xff\xd8\xff\xe0'), 'a JPEG picture'],
    [raw('%PDF-1.7'), 'a PDF document'],
    [raw('\x7fELF\x02'), 'a Linux program'],
    [
      raw('\x01\x02\x03\x04\x05\x06\x07\x08\x09'),
      'an unknown format (first bytes 0102030405060708)',
    ],
  ])('%#: %s', async (bytes, what) => {
    await expect(load('foreign', bytes)).rejects.toMatchObject({
      code: 'ERR_ACD_CHECKPOINT_FORMAT',
      message: expect.stringContaining(what),
    });
  });

  test('a folder is a folder, a device a device, and nothing is nothing', async () => {
    mkdirSync(path.join(folder, 'dir'));
    expect(await codeOf(readCheckpoint(path.join(folder, 'dir')))).toBe(
      'ERR_ACD_CHECKPOINT_FORMAT',
    );
    expect(await codeOf(readCheckpoint('/dev/zero'))).toBe('ERR_ACD_CHECKPOINT_FORMAT');
    expect(await codeOf(readCheckpoint(path.join(folder, 'none.pt')))).toBe(
      'ERR_ACD_FILE_NOT_FOUND',
    );
    symlinkSync(path.join(folder, 'loop'), path.join(folder, 'loop'));
    expect(await codeOf(readCheckpoint(path.join(folder, 'loop')))).toBe('ERR_ACD_FILE_NOT_FOUND');
  });

  test('arguments of the wrong type are errors of their own', async () => {
    for (const bad of [undefined, null, 5, '', {}]) {
      expect(await codeOf(readCheckpoint(bad as never))).toBe('ERR_ACD_INVALID_ARG');
    }
    expect(await codeOf(readCheckpoint('x', { signal: 5 as never }))).toBe('ERR_ACD_INVALID_ARG');
    expect(await codeOf(readCheckpoint('x', { abort: 1 } as never))).toBe('ERR_ACD_UNKNOWN_OPTION');
  });
});

describe('torch archives', () => {
  const w = pickledTensor();
  const values = Buffer.alloc(24);
  const names = async (stream: Buffer) => [
    ...(await load('t.pth', torchFile(stream, [values]))).tensors.keys(),
  ];

  test('a state_dict among other things of training is taken alone', async () => {
    const inner = Buffer.concat([P.emptyDict, P.text('w'), w, P.setItem]);
    const optimizer = Buffer.concat([P.emptyDict, P.text('moment'), w, P.setItem]);
    const stream = pickledDict([
      ['epoch', P.int(3)],
      ['state_dict', inner],
      ['optimizer', optimizer],
    ]);
    const read = await load('t.pth', torchFile(stream, [values]));
    expect([...read.tensors.keys()]).toEqual(['w']);
    expect(Object.fromEntries(read.metadata)).toEqual({ epoch: 3 });
  });

  test('"module." goes only when every name has it', async () => {
    expect(
      await names(
        pickledDict([
          ['module.a', w],
          ['module.b', w],
        ]),
      ),
    ).toEqual(['a', 'b']);
    expect(
      await names(
        pickledDict([
          ['module.a', w],
          ['b', w],
        ]),
      ),
    ).toEqual(['module.a', 'b']);
  });

  test('a parameter is its tensor, and an OrderedDict’s _metadata is no tensor', async () => {
    const parameter = Buffer.concat([
      P.global('torch._utils', '_rebuild_parameter'),
      P.mark,
      w,
      P.none,
      P.none,
      P.tuple,
      P.reduce,
    ]);
    const state = Buffer.concat([P.emptyDict, P.text('_metadata'), P.emptyDict, P.setItem]);
    const stream = pickle(
      P.global('collections', 'OrderedDict'),
      P.emptyTuple,
      P.reduce,
      P.text('p'),
      parameter,
      P.setItem,
      state,
      P.build,
    );
    expect(await names(stream)).toEqual(['p']);
  });

  test('tensors may share a storage', async () => {
    const read = await load(
      't.pth',
      torchFile(
        pickledDict([
          ['a', w],
          ['b', w],
        ]),
        [values],
      ),
    );
    expect(read.tensors.get('a')!.offset).toBe(read.tensors.get('b')!.offset);
  });

  test('integers of a TorchScript module may be attributes', async () => {
    const stream = pickle(
      P.global('__torch__', 'Clip'),
      P.emptyTuple,
      P.newObj,
      P.emptyDict,
      P.mark,
      P.text('training'),
      P.false,
      P.text('input_resolution'),
      P.int(224),
      P.text('w'),
      w,
      P.setItems,
      P.build,
    );
    const records = [
      { name: 'a/data.pkl', data: stream },
      { name: 'a/data/0', data: values },
      { name: 'a/constants.pkl', data: raw('\x80\x02).') },
    ];
    const read = await load('t.pt', torchZip(records));
    expect(read.format).toBe('torchscript');
    expect(Object.fromEntries(read.metadata)).toEqual({ input_resolution: 224 });
  });

  test.each([
    ['DoubleStorage', 'f64', 8],
    ['FloatStorage', 'f32', 4],
    ['HalfStorage', 'f16', 2],
    ['BFloat16Storage', 'bf16', 2],
    ['LongStorage', 'i64', 8],
    ['IntStorage', 'i32', 4],
    ['ShortStorage', 'i16', 2],
    ['CharStorage', 'i8', 1],
    ['ByteStorage', 'u8', 1],
    ['BoolStorage', 'bool', 1],
  ])('%s is %s', async (storage, dtype, item) => {
    const stream = pickledDict([['w', pickledTensor({ storage })]]);
    const read = await load('t.pth', torchFile(stream, [Buffer.alloc(6 * item)]));
    expect(read.tensors.get('w')).toMatchObject({ dtype, bytes: 6 * item });
  });
});

describe('a sharded checkpoint is read through its index', () => {
  const shard = (n: number) => `model-0000${n}-of-00002.safetensors`;
  const index = (map: Record<string, unknown>, metadata: unknown = { total_size: 40 }) =>
    JSON.stringify({ metadata, weight_map: map });
  const sound = { 'a.weight': shard(1), 'b.weight': shard(2), 'c.weight': shard(2) };

  beforeAll(async () => {
    const write = (n: number, tensors: WritableTensor[]) =>
      writeSafetensors(path.join(folder, shard(n)), tensors);
    await write(1, [synthTensor('a.weight', [2, 3])]);
    await write(2, [synthTensor('b.weight', [4, 1]), synthTensor('c.weight', [1, 1])]);
  });

  test('every tensor is found in its shard', async () => {
    const read = await load('model.safetensors.index.json', index(sound));
    expect(read.format).toBe('safetensors-sharded');
    expect(read.files.map((f) => path.basename(f.path))).toEqual([shard(1), shard(2)]);
    expect(read.metadata.get('total_size')).toBe(40);
    for (const t of read.tensors.values()) {
      expect(tensorValues(read, t.name)).toEqual(synth(t.name, t.shape, 1));
    }
    expect([...read.tensors.keys()].sort()).toEqual(Object.keys(sound).sort());
  });

  test.each<[string, Record<string, unknown>, string]>([
    ['a shard that climbs out', { 'a.weight': `../${shard(1)}` }, 'ERR_ACD_CHECKPOINT_REFUSED'],
    ['an absolute shard', { 'a.weight': '/etc/x.safetensors' }, 'ERR_ACD_CHECKPOINT_REFUSED'],
    ['a shard in a folder', { 'a.weight': 'dir/x.safetensors' }, 'ERR_ACD_CHECKPOINT_REFUSED'],
    ['a Windows path', { 'a.weight': 'C:\\x.safetensors' }, 'ERR_ACD_CHECKPOINT_REFUSED'],
    ['a shard with NUL', { 'a.weight': 'x\0.safetensors' }, 'ERR_ACD_CHECKPOINT_REFUSED'],
    ['a shard of another kind', { 'a.weight': 'model.pth' }, 'ERR_ACD_CHECKPOINT_REFUSED'],
    ['a shard that is a number', { 'a.weight': 7 }, 'ERR_ACD_CHECKPOINT_REFUSED'],
    ['a shard that is not there', { 'a.weight': 'gone.safetensors' }, 'ERR_ACD_FILE_NOT_FOUND'],
    ['a tensor that its shard lacks', { 'b.weight': shard(1) }, 'ERR_ACD_CHECKPOINT_CORRUPT'],
  ])('%s is an error', async (_name, map, code) => {
    expect(await codeOf(load('bad.index.json', index(map)))).toBe(code);
  });

  test('300 shards and 17,000 tensors are too many', async () => {
    const shards = Object.fromEntries(
      Array.from({ length: 300 }, (_, i) => [`t${i}`, `s${i}.safetensors`]),
    );
    const tensors = Object.fromEntries(
      Array.from({ length: 17_000 }, (_, i) => [`t${i}`, shard(1)]),
    );
    for (const map of [shards, tensors]) {
      expect(await codeOf(load('many.index.json', index(map)))).toBe('ERR_ACD_CHECKPOINT_REFUSED');
    }
  });

  test('a key twice in the index is an error', async () => {
    const twice = `{"weight_map":{"a.weight":"${shard(1)}","a.weight":"${shard(2)}"}}`;
    expect(await codeOf(load('twice.index.json', twice))).toBe('ERR_ACD_CHECKPOINT_CORRUPT');
  });

  test('a corrupt shard is reported by its own name', async () => {
    put(folder, 'broken.safetensors', safetensorsFile('{"a":', Buffer.alloc(0)));
    await expect(load('b.index.json', index({ a: 'broken.safetensors' }))).rejects.toMatchObject({
      code: 'ERR_ACD_CHECKPOINT_CORRUPT',
      message: expect.stringContaining('broken.safetensors'),
    });
  });
});

describe('an abort', () => {
  const file = path.join(FIXTURES, 'openai-tiny.pt');

  test('before the call rejects with the signal’s own reason', async () => {
    const reason = new Error('stop');
    await expect(readCheckpoint(file, { signal: AbortSignal.abort(reason) })).rejects.toBe(reason);
  });

  test('during the call does too', async () => {
    const controller = new AbortController();
    const reason = new Error('stop');
    const work = readCheckpoint(file, { signal: controller.signal });
    setTimeout(() => controller.abort(reason), 1);
    await expect(work).rejects.toBe(reason);
  });
});

test('limits are the documented ones', () => {
  expect(LIMITS).toMatchObject({
    tensors: 16_384,
    rank: 8,
    nameBytes: 512,
    pickleBytes: 16 << 20,
    pickleStack: 65_536,
    pickleMemo: 65_536,
    pickleDepth: 64,
    pickleStringBytes: 1 << 20,
    zipEntries: 16_384,
    jsonBytes: 16 << 20,
    jsonDepth: 8,
  });
});
