// ViT-L/14 at 518, G = 4: 1.7 GB of synthetic weights, about a minute. Runs when ACD_FULL=1.
import { readFileSync } from 'node:fs';
import { rm } from 'node:fs/promises';
import { dirname } from 'node:path';
import { callNative } from '../../lib/binding';
import { planModel, readCheckpoint } from '../../lib/checkpoint';
import { goldenMeta, goldenTensors, relativeError, writeGoldenModel } from '../helpers/golden';
import { uniform } from '../helpers/synth';

const TOLERANCE = 2e-5;
const whenWanted = process.env.ACD_FULL === '1' ? it : it.skip;

async function detectFullSize() {
  const meta = goldenMeta('vitl14-518-g4');
  const golden = goldenTensors('vitl14-518-g4');
  const S = meta.config.image_size;
  const files = await writeGoldenModel(meta);
  try {
    const plan = planModel({
      backbone: await readCheckpoint(files.backbone),
      adapter: await readCheckpoint(files.adapter),
    });
    const spec = {
      ...plan,
      precision: 'fp32' as const,
      shareKey: '',
      threads: 2,
      queueLimit: 4,
    };
    const model = await callNative((addon) => addon.load(spec, () => {})).result;
    const [normal, abnormal] = [golden.get('tokens.normal')!, golden.get('tokens.abnormal')!];
    const tokens = new Int32Array([...normal.data, ...abnormal.data]);
    const prompts = normal.shape[0]! + abnormal.shape[0]!;
    const text = await model.encodeClass(tokens, prompts, 77, normal.shape[0]!).result;
    const found = await model.detect({
      tensor: uniform('input.image', [1, 3, S, S], meta.seed, 1.75),
      width: S,
      height: S,
      text,
      blurTaps: 7,
      blurSigma: 1,
      mapWeight: 0.1,
      map: 'model',
      debug: true,
    }).result;
    await model.dispose();
    return { golden, text, found, S, imageSize: plan.config.imageSize };
  } finally {
    await rm(dirname(files.backbone), { recursive: true });
  }
}

describe('the full-size reference', () => {
  whenWanted(
    'is met by text, logits, map and score',
    async () => {
      const { golden, text, found, S, imageSize } = await detectFullSize();
      expect(imageSize).toBe(518); // the default for a ViT-L/14
      const sampled: number[] = [];
      for (let y = 0; y < S; y += 7)
        for (let x = 0; x < S; x += 7) sampled.push(found.map![y * S + x]!);
      const errors = {
        text: relativeError(text, golden.get('text.hazelnut')!.data),
        groupLogits: relativeError(found.debug!.groupLogits, golden.get('group_logits')!.data),
        detLogits: relativeError(found.debug!.detLogits, golden.get('det_logits')!.data),
        map: relativeError(sampled, golden.get('map_every_7th')!.data),
        score: relativeError([found.score], golden.get('score')!.data),
      };
      for (const error of Object.values(errors)) expect(error).toBeLessThanOrEqual(TOLERANCE);
      const peak = Number(/VmHWM:\s+(\d+)/.exec(readFileSync('/proc/self/status', 'utf8'))?.[1]);
      process.stderr.write(
        `full size: ${JSON.stringify(errors)}, peak RSS ${peak} kB of the test process\n`,
      );
    },
    600_000,
  );
});
