// What calibrate, inspect and convert promise, and how usage errors are told.
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import * as path from 'node:path';
import { writeSafetensors } from '../../../lib/checkpoint';
import { synthTensor } from '../../helpers/checkpoint-files';
import { writeTinyModel } from '../../helpers/tiny-model';
import { cli, temporaryFolder, writePicture } from './cli-helpers';

const FIXTURES = path.join(__dirname, '../../fixtures/checkpoints');
const folder = temporaryFolder();
const at = (...parts: string[]) => path.join(folder, ...parts);
const fixture = (name: string) => path.join(FIXTURES, name);
let bundle: string;
let env: Record<string, string>;

beforeAll(async () => {
  bundle = await writeTinyModel(folder);
  env = { ACD_BUNDLE: bundle };
  mkdirSync(at('good'));
  for (let i = 1; i <= 4; i++) await writePicture(at('good', `${i}.png`), i);
  writeFileSync(at('broken.png'), 'not a picture at all');
});

describe('calibrate', () => {
  it('writes a profile to stdout that detect takes, and that flags none of its pictures', async () => {
    const made = await cli(['calibrate', at('good'), '--class', 'nut'], { env });
    expect(made.code).toBe(0);
    expect(JSON.parse(made.out)).toMatchObject({ kind: 'acd-clip-profile', images: 4, fpr: 0.01 });
    expect(made.err).toContain('too few for a rate of 0.01');
    writeFileSync(at('nut.json'), made.out);
    const args = [
      'detect',
      at('good'),
      '--profile',
      at('nut.json'),
      '--regions',
      '--format',
      'json',
    ];
    const found = await cli([...args, '--fail-on-anomaly'], { env });
    expect(found.code).toBe(0);
    for (const row of JSON.parse(found.out)) {
      expect(row).toMatchObject({ isAnomalous: false, regions: [] });
    }
  });

  it('writes to --out, and not over another file unless told to', async () => {
    const args = [
      'calibrate',
      at('good'),
      '--class',
      'nut',
      '--fpr',
      '0.25',
      '--out',
      at('p.json'),
    ];
    const once = await cli(args, { env });
    expect(once).toMatchObject({ code: 0, out: '' });
    expect(once.err).toContain('at most 1 of 4 pictures flagged');
    expect((await cli(args, { env })).code).toBe(2);
    expect((await cli([...args, '--overwrite'], { env })).code).toBe(0);
  });

  it('fails as a whole, naming the picture, when one cannot be read', async () => {
    const args = ['calibrate', at('good'), at('broken.png'), '--class', 'nut'];
    const { code, out, err } = await cli(args, { env });
    expect(code).toBe(1);
    expect(out).toBe('');
    expect(err).toContain(`for ${at('broken.png')} but received`);
  });

  it('fails for an argument without pictures', async () => {
    const { code, err } = await cli(['calibrate', at('*.gif'), '--class', 'nut'], { env });
    expect(code).toBe(1);
    expect(err).toContain(`acd-clip: ${at('*.gif')}: Found no pictures there\n`);
  });

  it('takes pictures of one class only', async () => {
    const stdin = JSON.stringify({ path: at('good/1.png'), class: 'bolt' });
    const { code, err } = await cli(['calibrate', '-', '--class', 'nut'], { env, stdin });
    expect(code).toBe(2);
    expect(err).toContain('Calibrate every class by itself');
  });

  it('makes profiles that another model refuses, before it has scored anything', async () => {
    const args = ['detect', at('good'), '--profile', at('nut.json'), '--image-size', '56'];
    const { code, out, err } = await cli(args, { env });
    expect(code).toBe(1);
    expect(out).toBe('');
    expect(err).toContain('make it again with this model');
  });
});

describe('inspect', () => {
  it('tells versions, processor, devices with reasons, libraries and assets', async () => {
    const { code, out } = await cli(['inspect']);
    expect(code).toBe(0);
    for (const word of ['acd-clip-native', 'Node.js', 'Instruction set', 'Threads', 'oneDNN']) {
      expect(out).toContain(word);
    }
    expect(out).toMatch(/^Device cpu +.*available/m);
    expect(out).toMatch(/^Device cuda\S* .*: \S/m);
    expect(out).toMatch(/^CLIP's vocabulary +present$/m);
  });

  it('tells the same as JSON', async () => {
    const report = JSON.parse((await cli(['inspect', '--json'])).out);
    expect(report.native.isaForced).toEqual(expect.any(Boolean));
    expect(report.devices[0]).toMatchObject({ id: 'cpu', available: true });
    expect(report.cuda.reason).toMatch(/\w/);
    // Without the backend's library there is nothing that needs others.
    if (report.cuda.plugin === '') expect(report.cuda.libraries).toEqual([]);
    else expect(report.cuda.libraries).toHaveLength(3);
    expect(report.assets).toHaveLength(3);
    expect(report.problems).toEqual([]);
  });

  it.each([
    ['openai-tiny.pt', 'torchscript', 'backbone'],
    ['openclip-tiny.pt', 'torch', 'backbone'],
    ['adapter-tiny.pth', 'torch', 'adapter'],
  ])('describes %s', async (name, format, kind) => {
    const { code, out } = await cli(['inspect', fixture(name)]);
    expect(code).toBe(0);
    expect(out).toMatch(new RegExp(`^Format +${format}$`, 'm'));
    expect(out).toMatch(new RegExp(`^Kind +${kind}$`, 'm'));
    expect(out).toMatch(/^Parameters +[\d,]+$/m);
  });

  it('describes a bundle, as JSON with its tensors only when asked for', async () => {
    const brief = JSON.parse((await cli(['inspect', bundle, '--json'])).out);
    expect(brief).toMatchObject({ kind: 'bundle', format: 'safetensors', problems: [] });
    expect(brief.tensors).toBeUndefined();
    const full = JSON.parse((await cli(['inspect', bundle, '--json', '--tensors'])).out);
    expect(full.tensors).toHaveLength(brief.tensorCount);
    const { out } = await cli(['inspect', bundle, '--tensors']);
    expect(out).toMatch(/^visual\.conv1\.weight +f32 +\[128, 3, 14, 14\]$/m);
  });

  it('exits with 1 and the problem for a checkpoint that cannot be used', async () => {
    const half = at('half-adapter.safetensors');
    await writeSafetensors(half, [synthTensor('image_adapter.m_i_w.0.i_w', [1, 1, 8])]);
    const { code, out } = await cli(['inspect', half]);
    expect(code).toBe(1);
    expect(out).toMatch(/^PROBLEM .*only the image half$/m);
  });

  it('calls a checkpoint of something else unknown', async () => {
    const { code, out } = await cli(['inspect', fixture('scripted-conv.pt')]);
    expect(code).toBe(0);
    expect(out).toMatch(/^Kind +unknown$/m);
  });

  it('exits with 1 for what is no checkpoint, or not there', async () => {
    for (const file of [__filename, fixture('legacy-tiny.pth'), at('none.pt'), folder]) {
      const { code, out, err } = await cli(['inspect', file]);
      expect(out).toBe('');
      expect(err).toMatch(/^acd-clip: \S/);
      expect(code).toBe(1);
    }
  });
});

describe('convert', () => {
  it('rewrites a checkpoint and says what it wrote', async () => {
    const target = at('adapter.safetensors');
    const { code, out } = await cli(['convert', fixture('adapter-tiny.pth'), target]);
    expect(code).toBe(0);
    expect(out).toBe(`${target}: 62 tensors, ${readFileSync(target).length} bytes\n`);
  });

  it('changes the element type', async () => {
    const target = at('half.safetensors');
    await cli(['convert', fixture('adapter-tiny.pth'), target, '--dtype', 'f16']);
    expect(JSON.parse((await cli(['inspect', target, '--json'])).out).dtypes).toEqual({ f16: 62 });
  });

  it('replaces no file unless told to', async () => {
    const args = ['convert', fixture('adapter-tiny.pth'), at('adapter.safetensors')];
    expect((await cli(args)).code).toBe(2);
    expect((await cli([...args, '--overwrite'])).code).toBe(0);
  });

  it('refuses names that end in no known format', async () => {
    const { code, err } = await cli(['convert', fixture('adapter-tiny.pth'), at('a.onnx')]);
    expect(code).toBe(2);
    expect(err).toContain('.safetensors, .pt, .pth or .bin');
    expect(existsSync(at('a.onnx'))).toBe(false);
  });
});

describe('usage', () => {
  it('a misspelt option exits with 2 and names the nearest one', async () => {
    const { code, out, err } = await cli(['detect', 'a.png', '--clas', 'nut']);
    expect({ code, out }).toEqual({ code: 2, out: '' });
    expect(err).toBe("acd-clip: unknown option '--clas'\n(Did you mean --class?)\n");
  });

  it('a misspelt command exits with 2 and names the nearest one', async () => {
    const { code, err } = await cli(['detct']);
    expect(code).toBe(2);
    expect(err).toContain('(Did you mean detect?)');
  });

  it.each([
    ['no command', [], 'Usage: acd-clip'],
    ['no class', ['detect', 'a.png'], 'Expected --class, --prompts or --profile'],
    ['no pictures', ['detect', '--class', 'nut'], 'Expected pictures'],
    ['no class to calibrate for', ['calibrate', 'a.png'], 'Expected --class or --prompts'],
    ['a threshold above 1', ['detect', 'a.png', '--threshold', '2'], 'number between 0 and 1'],
    ['a threshold that is a word', ['detect', '--regions', 'a.png'], 'put pictures before'],
    ['half a thread', ['detect', 'a.png', '--threads', '0.5'], 'integer between 1 and 1024'],
    ['levels that are words', ['detect', 'a.png', '--vision-levels', 'all'], 'layer numbers'],
    ['an unknown format', ['detect', 'a.png', '--format', 'xml'], 'Allowed choices'],
    [
      'an option without effect',
      ['detect', 'a.png', '--class', 'x', '--legend'],
      'beside --legend',
    ],
    [
      'drawing without a map',
      ['detect', 'a', '--overlay', '--map', 'none'],
      '--map model or image',
    ],
    [
      'a precision nobody has',
      ['detect', 'a.png', '--class', 'x', '--precision', 'x'],
      'precision',
    ],
  ])('%s exits with 2', async (_name, argv, message) => {
    const { code, out, err } = await cli(argv);
    expect({ code, out }).toEqual({ code: 2, out: '' });
    expect(err).toContain(message);
  });

  it('a device that cannot be used exits with 1 and says why', async () => {
    const args = ['detect', 'a.png', '--class', 'nut', '--device', 'cuda'];
    const { code, err } = await cli(args, { env });
    expect(code).toBe(1);
    expect(err).toMatch(/^acd-clip: Device cuda cannot be used: .+\nUse device/);
  });

  it('an error is a sentence and its help; the stack comes only when asked for', async () => {
    const short = await cli(['inspect', at('none.pt')]);
    expect(short.err).not.toContain('    at ');
    const long = await cli(['inspect', at('none.pt')], { env: { ACD_CLIP_DEBUG: '1' } });
    expect(long.err).toContain('    at ');
  });

  it('--version and --help go to stdout and exit with 0', async () => {
    const { version } = JSON.parse(
      readFileSync(path.join(__dirname, '../../../package.json'), 'utf8'),
    );
    expect(await cli(['--version'])).toEqual({ code: 0, out: `${version}\n`, err: '' });
    for (const argv of [['--help'], ['help', 'detect'], ['calibrate', '--help']]) {
      const { code, out, err } = await cli(argv);
      expect({ code, err }).toEqual({ code: 0, err: '' });
      expect(out).toContain('Usage: acd-clip');
    }
    expect((await cli(['--help'])).out).toContain('Examples:');
  });
});
