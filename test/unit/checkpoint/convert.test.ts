// Writing and converting: what was read is what is written, atomically, in a form that torch reads.
import { execFileSync } from 'node:child_process';
import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import * as path from 'node:path';
import {
  type Checkpoint,
  convertCheckpoint,
  describeCheckpoint,
  planModel,
  readCheckpoint,
  type TorchDict,
  type TorchValue,
  writeSafetensors,
  writeTorch,
} from '../../../lib/checkpoint';
import { fromHalf, toHalf } from '../../../lib/checkpoint/convert-floats';
import {
  codeOf,
  FIXTURES,
  P,
  pickledDict,
  pickledTensor,
  put,
  roundToHalf,
  synthTensor,
  temporaryFolder,
  tensorBytesOf,
  tensorValues,
  torchFile,
} from '../../helpers/checkpoint-files';

const folder = temporaryFolder();
const fixture = (name: string) => path.join(FIXTURES, name);
const out = (name: string) => path.join(folder, name);

/** Names, types, shapes and bytes of everything. */
function contents(checkpoint: Checkpoint): unknown {
  return [...checkpoint.tensors.values()]
    .map((t) => [t.name, t.dtype, t.shape, tensorBytesOf(checkpoint, t.name).toString('base64')])
    .sort();
}

describe('conversion keeps every bit', () => {
  test.each([
    ['openai-tiny.pt', 'a.safetensors'],
    ['openclip-tiny.pt', 'b.safetensors'],
    ['adapter-tiny.pth', 'c.safetensors'],
    ['openai-tiny.pt', 'd.pt'],
    ['adapter-tiny.pth', 'e.pth'],
    ['openclip-tiny.pt', 'f.bin'],
  ])('%s to %s and back', async (input, name) => {
    const there = await convertCheckpoint(fixture(input), out(name));
    const source = await readCheckpoint(fixture(input));
    const converted = await readCheckpoint(out(name));
    expect(there).toEqual({
      path: out(name),
      bytes: converted.files[0]!.bytes,
      tensors: source.tensors.size,
    });
    expect(contents(converted)).toEqual(contents(source));
    const back = `${name}.back${name.endsWith('.safetensors') ? '.pth' : '.safetensors'}`;
    await convertCheckpoint(out(name), out(back));
    expect(contents(await readCheckpoint(out(back)))).toEqual(contents(source));
  });

  test('an adapter keeps its epoch and layout through safetensors', async () => {
    await convertCheckpoint(fixture('adapter-tiny.pth'), out('g.safetensors'));
    const middle = await readCheckpoint(out('g.safetensors'));
    expect(Object.fromEntries(middle.metadata)).toEqual({ format: 'pt', epoch: '7' });
    await convertCheckpoint(out('g.safetensors'), out('g.pth'));
    expect(Object.fromEntries((await readCheckpoint(out('g.pth'))).metadata)).toEqual({ epoch: 7 });
  });

  test('stored alphas survive in both formats', async () => {
    const metadata = { 'acd.lora_alpha': '4', 'acd.quick_gelu': 'true' };
    await writeSafetensors(
      out('h.safetensors'),
      (await bundleTensors()).map(([name, shape]) => synthTensor(name, shape)),
      metadata,
    );
    await convertCheckpoint(out('h.safetensors'), out('h.pt'));
    for (const name of ['h.safetensors', 'h.pt']) {
      const plan = planModel({ bundle: await readCheckpoint(out(name)) });
      expect(plan.config).toMatchObject({ loraAlpha: 4, quickGelu: true });
    }
  });

  test('equal inputs give equal files', async () => {
    for (const name of ['i.pth', 'j.pth', 'i.safetensors', 'j.safetensors']) {
      await convertCheckpoint(fixture('adapter-tiny.pth'), out(name));
    }
    expect(readFileSync(out('i.pth')).equals(readFileSync(out('j.pth')))).toBe(true);
    expect(readFileSync(out('i.safetensors')).equals(readFileSync(out('j.safetensors')))).toBe(
      true,
    );
  });

  test('f16 and f32 round as asked and leave integers alone', async () => {
    await convertCheckpoint(fixture('openclip-tiny.pt'), out('k.safetensors'), { dtype: 'f16' });
    const full = await readCheckpoint(fixture('openclip-tiny.pt'));
    const half = await readCheckpoint(out('k.safetensors'));
    expect(half.tensors.get('visual.proj')!.dtype).toBe('f16');
    expect(tensorValues(half, 'visual.proj')).toEqual(
      tensorValues(full, 'visual.proj').map(roundToHalf),
    );
    await convertCheckpoint(fixture('openai-tiny.pt'), out('l.safetensors'), { dtype: 'f32' });
    const wide = await readCheckpoint(out('l.safetensors'));
    expect(wide.tensors.get('visual.proj')!.dtype).toBe('f32');
    expect(wide.tensors.get('vocab_size')!.dtype).toBe('i64');
    expect(tensorValues(wide, 'visual.proj')).toEqual(tensorValues(half, 'visual.proj'));
  });

  test('a transposed view is written row by row', async () => {
    const values = Buffer.from(new Float32Array([1, 2, 3, 4, 5, 6]).buffer);
    const view = pickledTensor({ size: [3, 2], stride: [1, 3] });
    const file = put(folder, 'view.pth', torchFile(pickledDict([['w', view]]), [values]));
    const source = await readCheckpoint(file);
    expect(source.tensors.get('w')).toMatchObject({ shape: [3, 2], strides: [1, 3], bytes: 24 });
    await convertCheckpoint(file, out('view.safetensors'));
    const written = await readCheckpoint(out('view.safetensors'));
    expect([...tensorValues(written, 'w')]).toEqual([1, 4, 2, 5, 3, 6]);
  });
});

describe('half precision', () => {
  test('every one of the 65,536 patterns survives the way to a number and back', () => {
    for (let bits = 0; bits < 65536; bits++) {
      const x = fromHalf(bits);
      if (Number.isNaN(x)) expect(toHalf(x) & 0x7c00).toBe(0x7c00);
      else if (toHalf(x) !== bits) throw new Error(`0x${bits.toString(16)} became ${toHalf(x)}`);
    }
  });

  test.each([
    [65504, 0x7bff],
    [65519.99, 0x7bff],
    [65520, 0x7c00],
    [2 ** -24, 1],
    [2 ** -25, 0],
    [2 ** -25 * 1.0001, 1],
    [1 + 2 ** -11, 0x3c00],
    [1 + 3 * 2 ** -11, 0x3c02],
    [-0, 0x8000],
  ])('%d rounds to nearest even', (x, bits) => {
    expect(toHalf(x)).toBe(bits);
  });
});

describe('a written file replaces its target as a whole or not at all', () => {
  test('an existing file is kept unless overwriting is allowed', async () => {
    const target = put(folder, 'kept.safetensors', 'precious');
    const again = () => convertCheckpoint(fixture('adapter-tiny.pth'), target);
    expect(await codeOf(again())).toBe('ERR_ACD_INVALID_ARG');
    expect(readFileSync(target, 'utf8')).toBe('precious');
    await convertCheckpoint(fixture('adapter-tiny.pth'), target, { overwrite: true });
    expect((await readCheckpoint(target)).tensors.size).toBe(62);
  });

  test('a source that is cut off while it is copied leaves no trace', async () => {
    const source = put(folder, 'short.bin', Buffer.alloc(10));
    const data = { path: source, offset: 0 };
    const tensor = { name: 'w', dtype: 'f32', shape: [100], data } as const;
    for (const name of ['cut.safetensors', 'cut.pth']) {
      const write = name.endsWith('.pth')
        ? writeTorch(out(name), new Map([['w', tensor]]))
        : writeSafetensors(out(name), [tensor]);
      expect(await codeOf(write)).toBe('ERR_ACD_CHECKPOINT_CORRUPT');
    }
    expect(readdirSync(folder).filter((n) => n.startsWith('cut'))).toEqual([]);
  });

  test('an abort in the middle rejects with the signal’s reason and leaves no trace', async () => {
    const controller = new AbortController();
    const work = convertCheckpoint(fixture('openclip-tiny.pt'), out('aborted.pth'), {
      signal: controller.signal,
    });
    const reason = new Error('enough');
    setImmediate(() => controller.abort(reason));
    await expect(work).rejects.toBe(reason);
    expect(readdirSync(folder).filter((n) => n.startsWith('aborted'))).toEqual([]);
  });

  test('a checkpoint may be converted onto itself', async () => {
    const file = put(folder, 'self.pth', readFileSync(fixture('adapter-tiny.pth')));
    const before = contents(await readCheckpoint(file));
    await convertCheckpoint(file, file, { overwrite: true });
    expect(contents(await readCheckpoint(file))).toEqual(before);
  });

  test.each([
    [
      'a missing folder',
      () => convertCheckpoint(fixture('adapter-tiny.pth'), out('no/x.pth')),
      'ERR_ACD_FILE_READ',
    ],
    [
      'a missing input',
      () => convertCheckpoint(out('nothing.pt'), out('x.pth')),
      'ERR_ACD_FILE_NOT_FOUND',
    ],
    [
      'an unknown extension',
      () => convertCheckpoint(fixture('adapter-tiny.pth'), out('x.onnx')),
      'ERR_ACD_INVALID_ARG',
    ],
    [
      'a name twice',
      () =>
        writeSafetensors(out('x.safetensors'), [
          synthTensor('a.weight', [1]),
          synthTensor('a.weight', [1]),
        ]),
      'ERR_ACD_INVALID_ARG',
    ],
    [
      'data of another length',
      () =>
        writeSafetensors(out('x.safetensors'), [{ ...synthTensor('a.weight', [2]), shape: [3] }]),
      'ERR_ACD_INVALID_ARG',
    ],
    [
      'a type torch.save has no name for',
      () =>
        writeTorch(
          out('x.pth'),
          new Map([['a', { name: 'a', dtype: 'u64', shape: [1], data: Buffer.alloc(8) }]]),
        ),
      'ERR_ACD_UNSUPPORTED',
    ],
  ])('%s is an error', async (_name, work, code) => {
    expect(await codeOf(work())).toBe(code);
  });
});

describe('describeCheckpoint says what a file is', () => {
  test.each([
    ['openai-tiny.pt', 'backbone', 'CLIP ViT/14, 2+2 layers, width 128/64, stored at 56 px'],
    ['openclip-tiny.pt', 'backbone', 'CLIP ViT/14, 2+2 layers, width 128/64, stored at 56 px'],
    [
      'adapter-tiny.pth',
      'adapter',
      'ACD-CLIP adapter, 2 groups, rank 16 (text 16), conv rank 8, kernels 3+5, hidden 16, for width 128/64',
    ],
  ])('%s', async (name, kind, summary) => {
    expect(await describeCheckpoint(fixture(name))).toMatchObject({ kind, summary, problems: [] });
  });

  test('counts, types and names are plain data', async () => {
    const described = await describeCheckpoint(fixture('openai-tiny.pt'));
    expect(described).toMatchObject({ format: 'torchscript', dtypes: { f16: 61, f32: 1, i64: 3 } });
    expect(JSON.parse(JSON.stringify(described))).toEqual(described);
    expect(described.parameters).toBe(
      described.tensors.reduce((n, t) => n + t.shape.reduce((a, b) => a * b, 1), 0),
    );
  });

  test('half an adapter is described with its problem', async () => {
    await writeSafetensors(out('half.safetensors'), [
      synthTensor('text_adapter.m_t_w.0.i_w', [1, 1, 64]),
    ]);
    expect(await describeCheckpoint(out('half.safetensors'))).toMatchObject({
      kind: 'unknown',
      problems: [expect.stringContaining('only the text half')],
    });
  });

  test('a bundle is one, and another network is unknown', async () => {
    const tensors = (await bundleTensors()).map(([name, shape]) => synthTensor(name, shape));
    await writeSafetensors(out('m.safetensors'), tensors);
    expect(await describeCheckpoint(out('m.safetensors'))).toMatchObject({ kind: 'bundle' });
    await writeSafetensors(out('n.safetensors'), [synthTensor('fc.weight', [2, 2])]);
    expect(await describeCheckpoint(out('n.safetensors'))).toMatchObject({
      kind: 'unknown',
      summary: 'no CLIP and no ACD-CLIP adapter in it',
      parameters: 4,
    });
  });
});

async function bundleTensors(): Promise<[string, number[]][]> {
  const halves = ['openclip-tiny.pt', 'adapter-tiny.pth'].map((n) => readCheckpoint(fixture(n)));
  const tables = (await Promise.all(halves)).map((c) => [...c.tensors.values()]);
  return tables.flat().map((t) => [t.name, t.shape]);
}

// Opt-in: needs a Python with torch. ACD_PYTHON=/path/to/python npx jest ...
const python = process.env.ACD_PYTHON;
const withPython = python ? describe : describe.skip;
withPython('PyTorch itself, with weights_only=True,', () => {
  const torch = (code: string, ...args: string[]) =>
    execFileSync(python!, ['-c', code, ...args], { encoding: 'utf8' });

  test('reads an adapter that this package wrote, value for value', async () => {
    await convertCheckpoint(fixture('adapter-tiny.pth'), out('t.pth'));
    const code = `
import sys, torch
a, b = (torch.load(p, weights_only=True) for p in sys.argv[1:3])
assert set(a) == set(b) and b["epoch"] == 7
for half in ("text_adapter", "image_adapter"):
    assert list(a[half]) == list(b[half])
    for n in a[half]:
        assert a[half][n].dtype == b[half][n].dtype and torch.equal(a[half][n], b[half][n]), n
print("same")`;
    expect(torch(code, fixture('adapter-tiny.pth'), out('t.pth')).trim()).toBe('same');
  });

  test('reads every type and value that a .pth of ours can hold', async () => {
    const tensor = (
      dtype: 'f32' | 'f16' | 'bf16' | 'f64' | 'i64' | 'bool',
      bytes: number,
    ): TorchValue => ({
      name: dtype,
      dtype,
      shape: [2, 1],
      data: Buffer.alloc(bytes),
    });
    const inner: TorchDict = new Map<string, TorchValue>([
      ['f32', tensor('f32', 8)],
      ['f16', tensor('f16', 4)],
      ['bf16', tensor('bf16', 4)],
      ['f64', tensor('f64', 16)],
      ['i64', tensor('i64', 16)],
      ['bool', tensor('bool', 2)],
      [
        'scalar',
        { name: 's', dtype: 'i64', shape: [], data: Buffer.from([7, 0, 0, 0, 0, 0, 0, 0]) },
      ],
      ['empty', { name: 'e', dtype: 'f32', shape: [0, 3], data: Buffer.alloc(0) }],
    ]);
    const value: TorchDict = new Map<string, TorchValue>([
      ['inner', inner],
      ['int', -5],
      ['large', 2 ** 40],
      ['float', 2.5],
      ['text', 'ärger'],
      ['yes', true],
      ['nothing', null],
    ]);
    await writeTorch(out('u.pth'), value);
    const code = `
import sys, torch
d = torch.load(sys.argv[1], weights_only=True)
i = d.pop("inner")
print(d, [(n, str(t.dtype), list(t.shape)) for n, t in i.items()], int(i["scalar"]))`;
    expect(torch(code, out('u.pth')).trim()).toBe(
      "{'int': -5, 'large': 1099511627776, 'float': 2.5, 'text': 'ärger', 'yes': True, 'nothing': None} " +
        "[('f32', 'torch.float32', [2, 1]), ('f16', 'torch.float16', [2, 1]), ('bf16', 'torch.bfloat16', [2, 1]), " +
        "('f64', 'torch.float64', [2, 1]), ('i64', 'torch.int64', [2, 1]), ('bool', 'torch.bool', [2, 1]), " +
        "('scalar', 'torch.int64', []), ('empty', 'torch.float32', [0, 3])] 7",
    );
  });
});

describe('a .pth of ours is one that this package reads', () => {
  test('with every kind of value', async () => {
    const value: TorchDict = new Map<string, TorchValue>([
      ['state_dict', new Map<string, TorchValue>([['module.w', synthTensor('w', [2, 2])]])],
      ['large', 2 ** 40],
      ['float', 2.5],
      ['text', 'x'],
      ['yes', true],
      ['nothing', null],
    ]);
    await writeTorch(out('v.pth'), value);
    const read = await readCheckpoint(out('v.pth'));
    expect([...read.tensors.keys()]).toEqual(['w']);
    expect(Object.fromEntries(read.metadata)).toEqual({
      large: 2 ** 40,
      float: 2.5,
      text: 'x',
      yes: true,
    });
  });

  test('"__proto__" is a name like any other', async () => {
    await writeSafetensors(
      out('w.safetensors'),
      [synthTensor('__proto__', [1, 1])],
      new Map([['__proto__', 'x']]),
    );
    const read = await readCheckpoint(out('w.safetensors'));
    expect([...read.tensors.keys()]).toEqual(['__proto__']);
    expect(read.metadata.get('__proto__')).toBe('x');
    const evil = pickledDict([
      ['__proto__', pickledTensor()],
      ['constructor', P.int(1)],
    ]);
    writeFileSync(out('x.pth'), torchFile(evil, [Buffer.alloc(24)]));
    expect((await readCheckpoint(out('x.pth'))).tensors.has('__proto__')).toBe(true);
    expect(({} as Record<string, unknown>).constructor).toBe(Object);
  });
});
