// The files that users really have, as PyTorch wrote them: every value of every tensor is known.
import { readFileSync } from 'node:fs';
import * as path from 'node:path';
import {
  adapterShapes,
  backboneShapes,
  inferAdapter,
  inferBackbone,
  readCheckpoint,
} from '../../../lib/checkpoint';
import {
  codeOf,
  FIXTURES,
  roundToHalf,
  tensorBytesOf,
  tensorValues,
} from '../../helpers/checkpoint-files';
import { tensor as synth } from '../../helpers/synth';

const { seed } = JSON.parse(readFileSync(path.join(FIXTURES, 'checkpoints.json'), 'utf8')) as {
  seed: number;
};
const open = (name: string) => readCheckpoint(path.join(FIXTURES, name));
const bytes = (values: Float32Array) => Buffer.from(values.buffer).toString('base64');

describe('every tensor of a genuine file is found where it lies, bit for bit', () => {
  test.each([
    ['openai-tiny.pt', 'torchscript', 62],
    ['openclip-tiny.pt', 'torch', 62],
    ['adapter-tiny.pth', 'torch', 62],
  ])('%s', async (name, format, expected) => {
    const checkpoint = await open(name);
    expect(checkpoint.format).toBe(format);
    let compared = 0;
    for (const t of checkpoint.tensors.values()) {
      if (t.dtype === 'i64') continue;
      const wanted = synth(t.name, t.shape, seed);
      // Half precision is the file's own rounding of the same values.
      const rounded = t.dtype === 'f16' ? Float32Array.from(wanted, roundToHalf) : wanted;
      expect([t.name, bytes(tensorValues(checkpoint, t.name))]).toEqual([t.name, bytes(rounded)]);
      compared++;
    }
    expect(compared).toBe(expected);
  });

  test('OpenAI’s integer buffers are tensors of one int64', async () => {
    const checkpoint = await open('openai-tiny.pt');
    const value = (name: string) => tensorBytesOf(checkpoint, name).readBigInt64LE(0);
    expect(checkpoint.tensors.get('input_resolution')).toMatchObject({ dtype: 'i64', shape: [] });
    expect([value('input_resolution'), value('context_length'), value('vocab_size')]).toEqual([
      56n,
      16n,
      512n,
    ]);
  });

  test('an adapter’s two dictionaries become prefixed names and its epoch metadata', async () => {
    const checkpoint = await open('adapter-tiny.pth');
    expect(Object.fromEntries(checkpoint.metadata)).toEqual({ epoch: 7 });
    const heads = new Set([...checkpoint.tensors.keys()].map((n) => n.split('.')[0]));
    expect(heads).toEqual(new Set(['text_adapter', 'image_adapter']));
  });

  test('scripted modules keep their tensors by name and lose their code and paddings', async () => {
    // torch.jit.script of a Conv2d, MultiheadAttention, lists and a dictionary, by PyTorch 2.13.
    const checkpoint = await open('scripted-conv.pt');
    expect(checkpoint.format).toBe('torchscript');
    expect(checkpoint.tensors.get('conv.weight')).toMatchObject({ shape: [4, 3, 3, 3] });
    expect(checkpoint.tensors.get('mha.in_proj_weight')).toMatchObject({ shape: [24, 8] });
    expect(checkpoint.tensors.get('od.c_fc.bias')).toMatchObject({ dtype: 'f32', shape: [2] });
    expect([...checkpoint.metadata.keys()]).toEqual(['dd.a']);
  });

  test('the file’s identity and the absolute path are recorded', async () => {
    const checkpoint = await open('adapter-tiny.pth');
    expect(path.isAbsolute(checkpoint.path)).toBe(true);
    expect(checkpoint.files).toHaveLength(1);
    expect(checkpoint.files[0]).toMatchObject({ path: checkpoint.path, bytes: 497341 });
  });
});

describe('sizes are read off genuine files', () => {
  test.each(['openai-tiny.pt', 'openclip-tiny.pt'])('%s holds the tiny CLIP', async (name) => {
    const { sizes, tensors } = inferBackbone(await open(name));
    expect(sizes).toEqual({
      patchSize: 14,
      pretrainGrid: 4,
      visionWidth: 128,
      visionLayers: 2,
      visionHeads: 2,
      textWidth: 64,
      textLayers: 2,
      textHeads: 1,
      vocabSize: 512,
      contextLength: 16,
    });
    expect(tensors.map((t) => t.name)).toEqual([...backboneShapes(sizes).keys()]);
  });

  test('adapter-tiny.pth holds two groups of rank 16 and 8 with kernels 3 and 5', async () => {
    const { sizes, tensors } = inferAdapter(await open('adapter-tiny.pth'));
    expect(sizes).toEqual({
      visionWidth: 128,
      textWidth: 64,
      embedDim: 64,
      groups: 2,
      loraRank: 16,
      textLoraRank: 16,
      convLoraRank: 8,
      convGroups: 1,
      kernelSizes: [3, 5],
      adapterHidden: 16,
    });
    expect(tensors.map((t) => t.name)).toEqual([...adapterShapes(sizes).keys()]);
  });
});

describe('a file of another kind is refused with a sentence', () => {
  test('the format of before PyTorch 1.6 comes with what to do about it', async () => {
    await expect(open('legacy-tiny.pth')).rejects.toMatchObject({
      code: 'ERR_ACD_CHECKPOINT_FORMAT',
      message: expect.stringContaining("torch.save's format of before PyTorch 1.6"),
      help: expect.stringContaining('torch.save'),
    });
  });

  test('a JSON document is not a shard index', async () => {
    expect(await codeOf(open('checkpoints.json'))).toBe('ERR_ACD_CHECKPOINT_FORMAT');
  });
});
