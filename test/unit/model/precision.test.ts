// The number format: chosen or asked for, always reported, never shared with another.
import { spawnSync } from 'node:child_process';
import * as path from 'node:path';
import { listDevices } from '../../../lib';
import { native } from '../../../lib/binding';
import { planModel, readCheckpoint } from '../../../lib/checkpoint';
import type { ModelSpec, NativePrecision } from '../../../typings/native';
import { errorOf, picture, tinySuite, usablePrecisions } from '../../helpers/models';
import { cli } from '../cli/cli-helpers';

const ROOT = path.join(__dirname, '..', '..', '..');
const NUT = { className: 'metal nut' };
const suite = tinySuite({ precision: 'fp32' });
const bf16 = listDevices()[0]!.precisions.find((p) => p.name === 'bf16')!;
const whereBf16 = bf16.available ? test : test.skip;

async function specIn(precision: NativePrecision): Promise<ModelSpec> {
  const { files, tensors, config } = planModel({ bundle: await readCheckpoint(suite.file) });
  return { files, tensors, config, precision, shareKey: '', threads: 1, queueLimit: 1 };
}

/** What a fresh process in another environment says of loading with each precision. */
function inProcess(
  settings: Record<string, string>,
  precisions: string[],
): { precision?: string; told: string }[] {
  const script = `
    require(${JSON.stringify(path.join(ROOT, 'test/lifecycle/register.cjs'))});
    const { AcdClip } = require(${JSON.stringify(path.join(ROOT, 'lib'))});
    (async () => {
      const all = [];
      for (const precision of ${JSON.stringify(precisions)}) {
        const model = await AcdClip.load({ bundle: process.argv[1], precision }).catch((e) => e);
        all.push(model.code
          ? { told: model.code + ': ' + model.message }
          : { precision: model.precision, told: model.precisionReason });
        await model.dispose?.();
      }
      console.log(JSON.stringify(all));
    })();`;
  const env = { ...process.env, ...settings };
  const child = spawnSync(process.execPath, ['-e', script, suite.file], {
    cwd: ROOT,
    env,
    encoding: 'utf8',
  });
  if (child.status !== 0) throw new Error(child.stderr);
  return JSON.parse(child.stdout);
}

test('auto takes bf16 where the processor multiplies it, else fp32, and says why', async () => {
  const said: string[] = [];
  const model = await suite.load({
    precision: 'auto',
    logger: (_, message) => said.push(message),
  });
  expect(model.precision).toBe(bf16.available ? 'bf16' : 'fp32');
  expect(model.precisionReason).toContain(bf16.reason);
  expect(said).toContain(`precision ${model.precision}: ${model.precisionReason}`);
  expect((await suite.load()).precision).toBe(model.precision);
});

test('a named one is taken, or refused with the reason', async () => {
  for (const { name, available, reason } of listDevices()[0]!.precisions) {
    if (available) {
      const model = await suite.load({ precision: name });
      expect([model.precision, model.precisionReason]).toEqual([name, 'asked for']);
    } else {
      const error = await errorOf(suite.load({ precision: name }));
      expect(error.code).toBe('ERR_ACD_UNSUPPORTED');
      expect(error.message).toBe(`Precision ${name} cannot be used on cpu: ${reason}`);
      expect(error.help).toMatch(/'auto' or 'fp32'/);
    }
  }
});

test('the addon refuses by itself what the processor lacks', async () => {
  for (const { name, available, reason } of native().listDevices()[0]!.precisions) {
    const loading = specIn(name).then((spec) => native().load(spec, () => {}).result);
    if (available) {
      const model = await loading;
      expect(model.precision).toBe(name);
      await model.dispose();
    } else {
      await expect(loading).rejects.toMatchObject({
        code: 'ERR_ACD_UNSUPPORTED',
        message: expect.stringContaining(reason),
      });
    }
  }
});

test('an instruction set without bf16 makes auto fp32 and bf16 an error that names it', () => {
  const [auto, asked, plain] = inProcess({ ACD_CLIP_ISA: 'baseline' }, ['auto', 'bf16', 'fp32']);
  expect(auto).toEqual({ precision: 'fp32', told: expect.stringMatching(/^no bf16: .*baseline/) });
  expect(asked!.told).toMatch(/^ERR_ACD_UNSUPPORTED: Precision bf16 cannot be used on cpu: .+/);
  expect(plain).toEqual({ precision: 'fp32', told: 'asked for' });
});

whereBf16('who multiplies in bf16 can be chosen, and is told', () => {
  const [own] = inProcess({ ACD_CLIP_BF16: 'own' }, ['auto']);
  expect(own).toEqual({ precision: 'bf16', told: expect.stringContaining('AVX512-BF16') });
  const [other] = inProcess({ ACD_CLIP_BF16: 'onednn' }, ['auto']);
  expect(other).toEqual({ precision: 'bf16', told: expect.stringContaining('oneDNN') });
  const [unknown] = inProcess({ ACD_CLIP_BF16: 'theirs' }, ['bf16']);
  expect(unknown!.told).toMatch(/Expected own or onednn for ACD_CLIP_BF16 but received theirs/);
});

whereBf16('models of the same files in two precisions share no weights', async () => {
  const before = native().storeInfo().models;
  const [exact, exact2] = [await suite.load({ precision: 'fp32' }), suite.model];
  expect(native().storeInfo().models).toBe(before);
  const short = await suite.load({ precision: 'bf16', threads: 2 });
  expect(short.modelId).toBe(exact.modelId);
  expect(short.memoryUsage().weightsBytes).toBeLessThan(exact.memoryUsage().weightsBytes);
  const scores = [];
  for (const model of [exact, short, exact2, short]) {
    scores.push((await model.detect(picture(3), NUT)).score);
  }
  expect(scores[2]).toBe(scores[0]);
  expect(scores[3]).toBe(scores[1]);
  expect(scores[1]).not.toBe(scores[0]);
  expect(Math.abs(scores[1]! - scores[0]!)).toBeLessThan(0.01);
});

test('the command line tells which it is, and what there is', async () => {
  const { out } = await cli(['inspect']);
  for (const name of ['fp32', 'bf16', 'fp16', 'int8', 'fp8']) {
    expect(out).toMatch(new RegExp(`^  ${name} +(not )?available: .+$`, 'm'));
  }
  const { devices } = JSON.parse((await cli(['inspect', '--json'])).out);
  expect(devices[0].precisions).toEqual(listDevices()[0]!.precisions);
  for (const precision of usablePrecisions()) {
    const args = ['detect', '-', '--class', 'nut', '--bundle', suite.file];
    const { err } = await cli([...args, '--precision', precision], { stdin: '' });
    expect(err).toContain(`in ${precision} (asked for)`);
  }
});
