// planModel: from any CLIP and any adapter to the addon's contract, or a sentence that says why not.
import * as path from 'node:path';
import {
  type AdapterSizes,
  adapterShapes,
  type BackboneSizes,
  backboneShapes,
  type Checkpoint,
  type PlanOptions,
  planModel,
  readCheckpoint,
  writeSafetensors,
} from '../../../lib/checkpoint';
import { errorOf, FIXTURES, synthTensor, temporaryFolder } from '../../helpers/checkpoint-files';

const open = (name: string) => readCheckpoint(path.join(FIXTURES, name));
const folder = temporaryFolder();

const TINY: BackboneSizes = {
  patchSize: 14,
  pretrainGrid: 4,
  visionWidth: 128,
  visionLayers: 4,
  visionHeads: 2,
  textWidth: 64,
  textLayers: 2,
  textHeads: 1,
  vocabSize: 32,
  contextLength: 8,
};
const ADAPTER: AdapterSizes = {
  visionWidth: 128,
  textWidth: 64,
  embedDim: 64,
  groups: 2,
  loraRank: 8,
  textLoraRank: 4,
  convLoraRank: 4,
  convGroups: 1,
  kernelSizes: [3, 5],
  adapterHidden: 16,
};

type Table = [name: string, shape: number[], dtype?: 'f32' | 'i64'][];

/** A checkpoint that exists only as a table of contents: planning reads nothing else. */
function fake(file: string, table: Table, metadata: Record<string, string> = {}): Checkpoint {
  return {
    path: `/models/${file}`,
    format: 'torch',
    files: [{ path: `/models/${file}`, bytes: 1e9, mtimeMs: 5, ino: 6, dev: 7 }],
    tensors: new Map(
      table.map(([name, shape, dtype = 'f32'], i) => [
        name,
        {
          name,
          shape,
          dtype,
          file: 0,
          offset: 64 * i,
          bytes: 4 * shape.reduce((a, b) => a * b, 1),
        },
      ]),
    ),
    metadata: new Map(Object.entries(metadata)),
  };
}

const clipTable = (sizes: Partial<BackboneSizes> = {}): Table => [
  ...backboneShapes({ ...TINY, ...sizes }),
];
const adapterTable = (sizes: Partial<AdapterSizes> = {}): Table => [
  ...adapterShapes({ ...ADAPTER, ...sizes }),
];
const clip = (sizes: Partial<BackboneSizes> = {}) => fake('clip.pt', clipTable(sizes));
const adapter = (sizes: Partial<AdapterSizes> = {}, metadata: Record<string, string> = {}) =>
  fake('adapter.pth', adapterTable(sizes), metadata);
const replace = (
  table: Table,
  name: string,
  shape: number[],
  dtype: 'f32' | 'i64' = 'f32',
): Table => table.map((row) => (row[0] === name ? [name, shape, dtype] : row));
const without = (table: Table, pattern: RegExp): Table =>
  table.filter(([name]) => !pattern.test(name));

describe('planModel turns genuine files into the addon’s contract', () => {
  test('OpenAI backbone and published adapter give one list of files, tensors and sizes', async () => {
    const backbone = await open('openai-tiny.pt');
    const trained = await open('adapter-tiny.pth');
    const plan = planModel({ backbone, adapter: trained, imageSize: 84 });
    expect(plan.files).toEqual([backbone.path, trained.path]);
    expect(plan.config).toEqual({
      imageSize: 84,
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
      embedDim: 64,
      groups: 2,
      visionLevels: [1, 2],
      textLevels: [1, 2],
      loraRank: 16,
      loraAlpha: 2,
      textLoraRank: 16,
      textLoraAlpha: 2,
      convLoraRank: 8,
      convLoraAlpha: 2,
      convGroups: 1,
      kernelSizes: [3, 5],
      adapterHidden: 16,
      quickGelu: false,
    });
    expect(plan.warnings).toEqual([]);
    const first = plan.tensors.find((t) => t.name === 'visual.conv1.weight')!;
    const stored = backbone.tensors.get('visual.conv1.weight')!;
    expect(first.parts).toEqual([
      { file: 0, offset: stored.offset, dtype: 'f16', shape: [128, 3, 14, 14] },
    ]);
    expect(plan.tensors.find((t) => t.name === 'image_adapter.m_i_w.1.i_w')!.parts[0]!.file).toBe(
      1,
    );
  });

  test('tensors that inference does not use stay out of the plan', async () => {
    const plan = planModel({
      backbone: await open('openclip-tiny.pt'),
      adapter: await open('adapter-tiny.pth'),
    });
    const names = plan.tensors.map((t) => t.name);
    for (const unused of [
      'visual.proj',
      'text_projection',
      'logit_scale',
      'ln_final.weight',
      'visual.ln_post.bias',
    ]) {
      expect(names).not.toContain(unused);
    }
    expect(new Set(names).size).toBe(names.length);
  });

  test('one bundle file plans as its two halves do', async () => {
    const table = [...clipTable(), ...adapterTable()];
    const file = path.join(folder, 'bundle.safetensors');
    await writeSafetensors(
      file,
      table.map(([name, shape]) => synthTensor(name, shape)),
    );
    const plan = planModel({ bundle: await readCheckpoint(file) });
    expect(plan.files).toEqual([file]);
    expect(plan.config).toEqual(planModel({ backbone: clip(), adapter: adapter() }).config);
  });
});

describe('sizes of any CLIP ViT are inferred', () => {
  const big = (
    patchSize: number,
    grid: number,
    width: number,
    layers: number,
    text: number,
    textLayers = 12,
  ) =>
    clip({
      patchSize,
      pretrainGrid: grid,
      visionWidth: width,
      visionLayers: layers,
      textWidth: text,
      textLayers,
      vocabSize: 49408,
      contextLength: 77,
    });
  const fitting = (width: number, text: number) =>
    adapter({ visionWidth: width, textWidth: text, embedDim: text, groups: 4 });
  test.each([
    ['B/32', 32, 7, 768, 12, 512, 12, 224],
    ['B/16', 16, 14, 768, 12, 512, 12, 224],
    ['L/14', 14, 16, 1024, 24, 768, 16, 518],
    ['L/14-336', 14, 24, 1024, 24, 768, 16, 518],
    ['H/14', 14, 16, 1280, 32, 1024, 16, 224],
  ])('ViT-%s', (_name, patch, grid, width, layers, text, heads, size) => {
    const { config } = planModel({
      backbone: big(patch, grid, width, layers, text, layers === 32 ? 24 : 12),
      adapter: fitting(width, text),
    });
    expect(config).toMatchObject({
      patchSize: patch,
      pretrainGrid: grid,
      visionWidth: width,
      visionLayers: layers,
      visionHeads: heads,
      textWidth: text,
      textHeads: text / 64,
      vocabSize: 49408,
      imageSize: size,
    });
    expect(config.visionLevels).toHaveLength(4);
    expect(config.visionLevels[3]).toBe(layers);
  });

  test('ViT-H’s heads of width 80 come with a warning', () => {
    const plan = planModel({
      backbone: big(14, 16, 1280, 32, 1024, 24),
      adapter: fitting(1280, 1024),
    });
    expect(plan.warnings).toEqual([expect.stringContaining('80 and 64 wide')]);
  });

  test.each([2, 3, 4, 6])('%i groups cut 24 and 12 layers in equal runs', (groups) => {
    const backbone = clip({ visionLayers: 24, textLayers: 12 });
    const { config } = planModel({ backbone, adapter: adapter({ groups }) });
    expect(config.visionLevels).toEqual(
      Array.from({ length: groups }, (_, i) => ((i + 1) * 24) / groups),
    );
    expect(config.textLevels).toEqual(
      Array.from({ length: groups }, (_, i) => ((i + 1) * 12) / groups),
    );
  });

  test('a depthwise adapter shows as many conv groups as ranks', () => {
    const depthwise = adapter({ loraRank: 8, convLoraRank: 8, convGroups: 8 });
    expect(planModel({ backbone: clip(), adapter: depthwise }).config).toMatchObject({
      convGroups: 8,
      loraRank: 8,
      convLoraRank: 8,
    });
  });

  test('one kernel of size 7 is as good as two', () => {
    expect(
      planModel({ backbone: clip(), adapter: adapter({ kernelSizes: [7] }) }).config.kernelSizes,
    ).toEqual([7]);
  });
});

describe('names of other libraries mean the same weights', () => {
  const openai = (plan: ReturnType<typeof planModel>) => plan.tensors.map((t) => [t.name, t.shape]);
  const wanted = openai(planModel({ backbone: clip(), adapter: adapter() }));

  function huggingFace(name: string, shape: number[]): Table {
    const tower = name.startsWith('visual.') ? 'vision_model' : 'text_model';
    const plain: Record<string, string> = {
      'visual.class_embedding': 'vision_model.embeddings.class_embedding',
      'visual.positional_embedding': 'vision_model.embeddings.position_embedding.weight',
      'visual.conv1.weight': 'vision_model.embeddings.patch_embedding.weight',
      'visual.ln_pre.weight': 'vision_model.pre_layrnorm.weight',
      'visual.ln_pre.bias': 'vision_model.pre_layrnorm.bias',
      'token_embedding.weight': 'text_model.embeddings.token_embedding.weight',
      positional_embedding: 'text_model.embeddings.position_embedding.weight',
    };
    if (plain[name] !== undefined) return [[plain[name], shape]];
    const [, layer, rest] = /resblocks\.(\d+)\.(.+)$/.exec(name)!;
    const block = `${tower}.encoder.layers.${layer}.`;
    const joined = /^attn\.in_proj_(weight|bias)$/.exec(rest!);
    if (joined) {
      const third = [shape[0]! / 3, ...shape.slice(1)];
      return ['v', 'k', 'q'].map((p) => [`${block}self_attn.${p}_proj.${joined[1]}`, third]);
    }
    const renamed = rest!
      .replace('attn.out_proj', 'self_attn.out_proj')
      .replace('ln_', 'layer_norm')
      .replace('mlp.c_fc', 'mlp.fc1')
      .replace('mlp.c_proj', 'mlp.fc2');
    return [[block + renamed, shape]];
  }

  test('Hugging Face’s q, k and v are stacked in that order', () => {
    const table: Table = clipTable().flatMap(([name, shape]) => huggingFace(name, shape));
    table.push(
      ['visual_projection.weight', [64, 128]],
      ['vision_model.embeddings.position_ids', [1, 17], 'i64'],
    );
    const backbone = fake('pytorch_model.bin', table);
    const plan = planModel({ backbone, adapter: adapter() });
    expect(openai(plan)).toEqual(wanted);
    const joined = plan.tensors.find(
      (t) => t.name === 'transformer.resblocks.1.attn.in_proj_weight',
    )!;
    const block = 'text_model.encoder.layers.1.self_attn';
    expect(joined.parts.map((p) => p.offset)).toEqual(
      ['q', 'k', 'v'].map((p) => backbone.tensors.get(`${block}.${p}_proj.weight`)!.offset),
    );
    expect(joined).toMatchObject({ shape: [192, 64], parts: [{ shape: [64, 64] }, {}, {}] });
  });

  test('a Hugging Face model without one k is reported by the canonical name', () => {
    const table = clipTable().flatMap(([name, shape]) => huggingFace(name, shape));
    const backbone = fake('x.bin', without(table, /vision_model.*1.*k_proj.weight/));
    expect(errorOf(() => planModel({ backbone, adapter: adapter() })).message).toContain(
      'visual.transformer.resblocks.1.attn.in_proj_weight',
    );
  });

  test('open_clip’s separate text class loses its prefix', () => {
    const table: Table = clipTable().map(([n, s]) => [
      n.startsWith('visual.') ? n : `text.${n}`,
      s,
    ]);
    expect(openai(planModel({ backbone: fake('x.bin', table), adapter: adapter() }))).toEqual(
      wanted,
    );
  });

  test('an adapter trained under DataParallel loses the inner prefix', () => {
    const table: Table = adapterTable().map(([n, s]) => [
      n.replace('_adapter.', '_adapter.module.'),
      s,
    ]);
    expect(openai(planModel({ backbone: clip(), adapter: fake('x.pth', table) }))).toEqual(wanted);
  });
});

describe('settings that no shape shows', () => {
  const stored = {
    'acd.lora_alpha': '4',
    'acd.conv_lora_alpha': '1.5',
    'acd.text_lora_alpha': '8',
    'acd.quick_gelu': 'true',
    'acd.image_size': '112',
  };
  test('come from the checkpoint’s metadata', () => {
    expect(planModel({ backbone: clip(), adapter: adapter({}, stored) }).config).toMatchObject({
      loraAlpha: 4,
      convLoraAlpha: 1.5,
      textLoraAlpha: 8,
      quickGelu: true,
      imageSize: 112,
    });
  });

  test('are overridden by options', () => {
    const options = {
      loraAlpha: 1,
      convLoraAlpha: 3,
      textLoraAlpha: 5,
      quickGelu: false,
      imageSize: 70,
    };
    expect(
      planModel({ backbone: clip(), adapter: adapter({}, stored), ...options }).config,
    ).toMatchObject(options);
  });

  test('text alpha follows lora alpha, as the published scripts have one flag', () => {
    expect(
      planModel({ backbone: clip(), adapter: adapter(), loraAlpha: 6 }).config.textLoraAlpha,
    ).toBe(6);
  });

  test('stored nonsense is an error, not a default', () => {
    for (const bad of ['', 'x', 'NaN', 'Infinity', '1e9']) {
      const error = errorOf(() =>
        planModel({ backbone: clip(), adapter: adapter({}, { 'acd.lora_alpha': bad }) }),
      );
      expect(error.code).toBe('ERR_ACD_CHECKPOINT_MISMATCH');
    }
    expect(
      errorOf(() =>
        planModel({ backbone: clip(), adapter: adapter({}, { 'acd.quick_gelu': 'yes' }) }),
      ).message,
    ).toContain('true or false');
  });
});

describe('identity', () => {
  test('is equal for equal files and settings, and differs for any other', () => {
    const id = (o: Partial<PlanOptions> = {}) =>
      planModel({ backbone: clip(), adapter: adapter(), ...o }).identity;
    expect(id()).toMatch(/^[0-9a-f]{64}$/);
    expect(id()).toBe(id());
    const touched = clip();
    touched.files[0]!.mtimeMs++;
    const others = [id({ imageSize: 112 }), id({ loraAlpha: 3 }), id({ backbone: touched })];
    expect(new Set([id(), ...others]).size).toBe(4);
  });
});

describe('what does not make up one model is refused with its own sentence', () => {
  const cases: [name: string, options: PlanOptions, code: string, message: string][] = [
    ['nothing at all', {}, 'ERR_ACD_NO_MODEL', 'neither'],
    [
      'a backbone alone',
      { backbone: clip() },
      'ERR_ACD_INVALID_ARG',
      'an adapter beside the backbone',
    ],
    ['an adapter alone', { adapter: adapter() }, 'ERR_ACD_INVALID_ARG', 'for backbone'],
    [
      'a bundle with a backbone',
      { bundle: clip(), backbone: clip() },
      'ERR_ACD_INVALID_ARG',
      'bundle alone',
    ],
    [
      'a path instead of a checkpoint',
      { bundle: 'x.pt' as never },
      'ERR_ACD_INVALID_ARG',
      'readCheckpoint',
    ],
    [
      'a misspelt option',
      { bundle: clip(), imagesize: 5 } as never,
      'ERR_ACD_UNKNOWN_OPTION',
      'imageSize',
    ],
    [
      'an adapter as backbone',
      { backbone: adapter(), adapter: adapter() },
      'ERR_ACD_CHECKPOINT_MISMATCH',
      'is an ACD-CLIP adapter',
    ],
    [
      'a backbone as adapter',
      { backbone: clip(), adapter: clip() },
      'ERR_ACD_CHECKPOINT_MISMATCH',
      'is a CLIP backbone',
    ],
    [
      'a bundle as adapter',
      { backbone: clip(), adapter: fake('b.pt', [...clipTable(), ...adapterTable()]) },
      'ERR_ACD_CHECKPOINT_MISMATCH',
      'holds a CLIP too',
    ],
    [
      'a bundle without adapter',
      { bundle: clip() },
      'ERR_ACD_CHECKPOINT_MISMATCH',
      'is a CLIP backbone',
    ],
    [
      'the text half alone',
      { backbone: clip(), adapter: fake('t.pth', without(adapterTable(), /^image/)) },
      'ERR_ACD_CHECKPOINT_MISMATCH',
      'only the text half',
    ],
    [
      'the image half alone',
      { backbone: clip(), adapter: fake('i.pth', without(adapterTable(), /^text/)) },
      'ERR_ACD_CHECKPOINT_MISMATCH',
      'only the image half',
    ],
    [
      'a ResNet CLIP',
      {
        backbone: fake('RN50.pt', [
          ['visual.layer1.0.conv1.weight', [64, 64, 1, 1]],
          ['visual.conv1.weight', [32, 3, 3, 3]],
        ]),
        adapter: adapter(),
      },
      'ERR_ACD_CHECKPOINT_MISMATCH',
      'ResNet',
    ],
    [
      'a timm tower',
      { backbone: fake('t.pt', [['visual.trunk.x', [1]]]), adapter: adapter() },
      'ERR_ACD_CHECKPOINT_MISMATCH',
      'timm',
    ],
    [
      'some other network',
      { backbone: fake('r.pt', [['fc.weight', [1, 1]]]), adapter: adapter() },
      'ERR_ACD_CHECKPOINT_MISMATCH',
      '(5 in all)',
    ],
    [
      'some other network as adapter',
      { backbone: clip(), adapter: fake('r.pt', [['fc.weight', [1, 1]]]) },
      'ERR_ACD_CHECKPOINT_MISMATCH',
      'found none',
    ],
    [
      'a missing layer norm',
      { backbone: fake('c.pt', without(clipTable(), /visual.*\.1\.ln_2/)), adapter: adapter() },
      'ERR_ACD_CHECKPOINT_MISMATCH',
      'visual.transformer.resblocks.1.ln_2.weight, visual.transformer.resblocks.1.ln_2.bias',
    ],
    [
      'a gap in the layers',
      { backbone: fake('c.pt', without(clipTable(), /visual.*\.1\./)), adapter: adapter() },
      'ERR_ACD_CHECKPOINT_MISMATCH',
      'resblocks.1 is missing',
    ],
    [
      'no text layers',
      { backbone: fake('c.pt', without(clipTable(), /^transformer/)), adapter: adapter() },
      'ERR_ACD_CHECKPOINT_MISMATCH',
      'transformer.resblocks.0',
    ],
    [
      'a wrong shape',
      {
        backbone: fake(
          'c.pt',
          replace(clipTable(), 'visual.transformer.resblocks.0.mlp.c_fc.weight', [512, 64]),
        ),
        adapter: adapter(),
      },
      'ERR_ACD_CHECKPOINT_MISMATCH',
      'Expected shape [512,128] for visual.transformer.resblocks.0.mlp.c_fc.weight',
    ],
    [
      'integer weights',
      {
        backbone: fake('c.pt', replace(clipTable(), 'visual.ln_pre.bias', [128], 'i64')),
        adapter: adapter(),
      },
      'ERR_ACD_CHECKPOINT_MISMATCH',
      'received i64',
    ],
    [
      'zero-sized weights',
      {
        backbone: fake('c.pt', replace(clipTable(), 'visual.conv1.weight', [0, 3, 14, 14])),
        adapter: adapter(),
      },
      'ERR_ACD_CHECKPOINT_MISMATCH',
      'at least 1',
    ],
    [
      'four colour channels',
      {
        backbone: fake('c.pt', replace(clipTable(), 'visual.conv1.weight', [128, 4, 14, 14])),
        adapter: adapter(),
      },
      'ERR_ACD_CHECKPOINT_MISMATCH',
      '3 colour channels',
    ],
    [
      'positions that are no square',
      {
        backbone: fake('c.pt', replace(clipTable(), 'visual.positional_embedding', [16, 128])),
        adapter: adapter(),
      },
      'ERR_ACD_CHECKPOINT_MISMATCH',
      '1 + a square',
    ],
    [
      'a width of no whole heads',
      { backbone: clip({ visionWidth: 100 }), adapter: adapter({ visionWidth: 100 }) },
      'ERR_ACD_CHECKPOINT_MISMATCH',
      'multiple of 64',
    ],
    [
      'an adapter of a wider CLIP',
      { backbone: clip(), adapter: adapter({ visionWidth: 192 }) },
      'ERR_ACD_CHECKPOINT_MISMATCH',
      'Expected vision width 128',
    ],
    [
      'an adapter of a wider text tower',
      { backbone: clip(), adapter: adapter({ textWidth: 128 }) },
      'ERR_ACD_CHECKPOINT_MISMATCH',
      'Expected text width 64',
    ],
    [
      'heads of another joint width',
      { backbone: clip(), adapter: adapter({ embedDim: 32 }) },
      'ERR_ACD_CHECKPOINT_MISMATCH',
      'as wide as the text (64)',
    ],
    [
      'an adapter with unknown parts',
      {
        backbone: clip(),
        adapter: fake('a.pth', [...adapterTable(), ['image_adapter.extra.weight', [1]]]),
      },
      'ERR_ACD_CHECKPOINT_MISMATCH',
      'image_adapter.extra.weight',
    ],
    [
      'an adapter without its gate',
      { backbone: clip(), adapter: fake('a.pth', without(adapterTable(), /gate/)) },
      'ERR_ACD_CHECKPOINT_MISMATCH',
      '(8 in all)',
    ],
    [
      'a group number left out',
      {
        backbone: clip({ visionLayers: 6, textLayers: 6 }),
        adapter: fake('a.pth', without(adapterTable({ groups: 3 }), /\.1\./)),
      },
      'ERR_ACD_CHECKPOINT_MISMATCH',
      'm_i_w.1 is missing',
    ],
    [
      'even kernels',
      { backbone: clip(), adapter: adapter({ kernelSizes: [4] }) },
      'ERR_ACD_CHECKPOINT_MISMATCH',
      'odd kernel sizes',
    ],
    [
      'uneven conv groups',
      {
        backbone: clip(),
        adapter: fake(
          'a.pth',
          replace(
            adapterTable(),
            'image_adapter.lora_adapters.0.conv_lora_blocks.0.conv_lora_A.weight',
            [4, 3, 3, 3],
          ),
        ),
      },
      'ERR_ACD_CHECKPOINT_MISMATCH',
      'evenly',
    ],
    [
      'three groups of four layers',
      { backbone: clip({ textLayers: 6 }), adapter: adapter({ groups: 3 }) },
      'ERR_ACD_CHECKPOINT_MISMATCH',
      '3 groups to divide 4 layers',
    ],
    [
      'an image size off the patch',
      { backbone: clip(), adapter: adapter(), imageSize: 100 },
      'ERR_ACD_INVALID_ARG',
      'multiple of the patch size 14',
    ],
    [
      'an image size beyond reason',
      { backbone: clip(), adapter: adapter(), imageSize: 14e6 },
      'ERR_ACD_INVALID_ARG',
      'imageSize',
    ],
    [
      'too few levels',
      { backbone: clip(), adapter: adapter(), visionLevels: [4] },
      'ERR_ACD_INVALID_ARG',
      '2 ascending layer numbers between 1 and 4',
    ],
    [
      'falling levels',
      { backbone: clip(), adapter: adapter(), visionLevels: [4, 2] },
      'ERR_ACD_INVALID_ARG',
      'ascending',
    ],
    [
      'a level beyond the layers',
      { backbone: clip(), adapter: adapter(), textLevels: [1, 3] },
      'ERR_ACD_INVALID_ARG',
      'between 1 and 2',
    ],
    [
      'an alpha that is no number',
      { backbone: clip(), adapter: adapter(), loraAlpha: Number.NaN },
      'ERR_ACD_INVALID_ARG',
      'loraAlpha',
    ],
    [
      'heads that do not divide the width',
      { backbone: clip(), adapter: adapter(), visionHeads: 3 },
      'ERR_ACD_INVALID_ARG',
      'divisor of the width 128',
    ],
  ];
  test.each(cases)('%s', (_name, options, code, message) => {
    const error = errorOf(() => planModel(options));
    expect(error.message).toContain(message);
    expect(error.code).toBe(code);
  });

  test('explicit levels let three groups share four layers', () => {
    const plan = planModel({
      backbone: clip({ textLayers: 6 }),
      adapter: adapter({ groups: 3 }),
      visionLevels: [1, 2, 4],
    });
    expect(plan.config).toMatchObject({ visionLevels: [1, 2, 4], textLevels: [2, 4, 6] });
  });
});
