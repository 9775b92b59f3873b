// Checkpoints that leave the token embedding out and name the seed that it is computed from.
import * as path from 'node:path';
import { AcdClip } from '../../../lib';
import {
  type Checkpoint,
  convertCheckpoint,
  describeCheckpoint,
  METADATA_KEYS,
  type MetadataValue,
  planModel,
  readCheckpoint,
  type WritableTensor,
  writable,
  writeSafetensors,
} from '../../../lib/checkpoint';
import { errorOf, synthTensor, temporaryFolder } from '../../helpers/checkpoint-files';
import { TINY, writeTinyModel } from '../../helpers/tiny-model';

const KEY = METADATA_KEYS.tokenEmbeddingSeed;
const folder = temporaryFolder();
const at = (name: string) => path.join(folder, name);
let seeded: string;

beforeAll(async () => {
  seeded = await writeTinyModel(folder, { tokenEmbeddingSeed: TINY.seed });
});

/** The seeded model with another seed, or none, and perhaps a table; returns the file's path. */
async function variant(name: string, seed?: string, table?: WritableTensor): Promise<string> {
  const checkpoint = await readCheckpoint(seeded);
  const tensors = [...checkpoint.tensors.keys()].map((tensor) => writable(checkpoint, tensor));
  await writeSafetensors(at(name), table ? [...tensors, table] : tensors, {
    [METADATA_KEYS.imageSize]: '84',
    ...(seed !== undefined && { [KEY]: seed }),
  });
  return at(name);
}

/** The table of contents of the seeded model, with another value in place of its seed. */
async function withSeed(seed: MetadataValue): Promise<Checkpoint> {
  return { ...(await readCheckpoint(seeded)), metadata: new Map([[KEY, seed]]) };
}

describe('a seed in place of the token table', () => {
  test('plans a model of CLIP’s whole vocabulary, without the tensor', async () => {
    const plan = planModel({ bundle: await readCheckpoint(seeded) });
    expect(plan.config).toMatchObject({
      tokenEmbeddingSeed: TINY.seed,
      vocabSize: 49408,
      textWidth: TINY.textWidth,
    });
    expect(plan.tensors.some((t) => t.name === 'token_embedding.weight')).toBe(false);
  });

  test('gives exactly what the stored table gives', async () => {
    const table = synthTensor('token_embedding.weight', [49408, TINY.textWidth], TINY.seed);
    const stored = await variant('stored.safetensors', undefined, table);
    const picture = { data: new Uint8Array(50 * 40 * 3).map((_, i) => (i * 37) & 255) };
    const outcomes = [];
    for (const bundle of [seeded, stored]) {
      const model = await AcdClip.load({ bundle });
      const text = await model.encodePrompts('metal nut, grün');
      const raw = { ...picture, width: 50, height: 40, channels: 3 as const };
      const { score, map } = await model.detect(raw, { className: 'metal nut, grün' });
      outcomes.push({ text: [...text.data], score, map: [...map!.data] });
      await model.dispose();
    }
    expect(outcomes[0]).toEqual(outcomes[1]);
  });

  test('takes no memory for the table', async () => {
    const weights = async (bundle: string) => {
      const model = await AcdClip.load({ bundle });
      const { weightsBytes } = model.memoryUsage();
      await model.dispose();
      return weightsBytes;
    };
    const difference = (await weights(at('stored.safetensors'))) - (await weights(seeded));
    expect(difference).toBe(49408 * TINY.textWidth * 4);
  });

  test('another seed is another model', async () => {
    const other = await variant('other.safetensors', '0');
    const models = await Promise.all([seeded, other].map((bundle) => AcdClip.load({ bundle })));
    const [a, b] = await Promise.all(models.map((m) => m.encodePrompts('nut')));
    expect(a!.modelId).not.toBe(b!.modelId);
    expect(a!.data).not.toEqual(b!.data);
    await Promise.all(models.map((m) => m.dispose()));
  });

  test('is told by describeCheckpoint', async () => {
    const found = await describeCheckpoint(seeded);
    expect(found).toMatchObject({ kind: 'bundle', problems: [] });
    expect(found.summary).toContain(`token table computed from seed ${TINY.seed}`);
    expect(found.backbone).toMatchObject({ tokenEmbeddingSeed: TINY.seed, vocabSize: 49408 });
  });

  test('survives conversion to .pt and back', async () => {
    await convertCheckpoint(seeded, at('there.pt'));
    await convertCheckpoint(at('there.pt'), at('back.safetensors'));
    for (const file of ['there.pt', 'back.safetensors']) {
      const checkpoint = await readCheckpoint(at(file));
      expect(checkpoint.metadata.get(KEY)).toBe(String(TINY.seed));
      expect(planModel({ bundle: checkpoint }).config.tokenEmbeddingSeed).toBe(TINY.seed);
    }
  });

  test.each(['0', '7', '4294967295', 7])('%j is a seed', async (seed) => {
    const plan = planModel({ bundle: await withSeed(seed) });
    expect(plan.config.tokenEmbeddingSeed).toBe(Number(seed));
  });

  test.each(['', '-1', '1.5', '007', '0x10', '1e3', ' 7', '4294967296', 'seven', -1, 0.5, true])(
    '%j is none',
    async (seed) => {
      const checkpoint = await withSeed(seed);
      const error = errorOf(() => planModel({ bundle: checkpoint }));
      expect(error.code).toBe('ERR_ACD_CHECKPOINT_MISMATCH');
      expect(error.message).toBe(
        `Expected an integer between 0 and 4294967295 for ${KEY} in ${checkpoint.path} but received ${JSON.stringify(seed)}`,
      );
    },
  );

  test('is refused beside a table, and the file is described with that problem', async () => {
    const table = synthTensor('token_embedding.weight', [512, TINY.textWidth]);
    const both = await readCheckpoint(await variant('both.safetensors', '7', table));
    const error = errorOf(() => planModel({ bundle: both }));
    expect(error.code).toBe('ERR_ACD_CHECKPOINT_MISMATCH');
    expect(error.message).toContain(`either token_embedding.weight or ${KEY}`);
    expect(error.help).toMatch(/two different tables/);
    const found = await describeCheckpoint(both.path);
    expect(found).toMatchObject({ kind: 'unknown', problems: [error.message] });
  });
});

test('a bundle holds what the formulas use, and nothing else is needed', async () => {
  const { tensors } = await readCheckpoint(seeded);
  const unused = /proj$|ln_post|ln_final|logit_scale|token_embedding/;
  expect([...tensors.keys()].filter((name) => unused.test(name))).toEqual([]);
  const model = await AcdClip.load({ bundle: seeded });
  await model.dispose();
});
