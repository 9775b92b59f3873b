// What detect promises: results in every format, pictures that fail, drawings, decisions.
import {
  copyFileSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  writeFileSync,
} from 'node:fs';
import * as path from 'node:path';
import sharp from 'sharp';
import { Interrupted } from '../../../lib/cli/exit';
import { writeTinyModel, writeTinyParts } from '../../helpers/tiny-model';
import {
  BrokenPipe,
  cli,
  openStdin,
  type RunOptions,
  temporaryFolder,
  writePicture,
} from './cli-helpers';

const folder = temporaryFolder();
const at = (...parts: string[]) => path.join(folder, ...parts);
let bundle: string;

function detect(args: string[], o: RunOptions = {}) {
  return cli(['detect', ...args], { ...o, env: { ACD_BUNDLE: bundle, ...o.env } });
}

const lines = (text: string) => text.trim().split('\n');
const rowsOf = (ndjson: string) => lines(ndjson).map((line) => JSON.parse(line));

beforeAll(async () => {
  bundle = await writeTinyModel(folder);
  for (const sub of ['set/a', 'set/b']) mkdirSync(at(sub), { recursive: true });
  await writePicture(at('set/a/00.png'), 1);
  await writePicture(at('set/a/01.jpg'), 2);
  await writePicture(at('set/b/00.png'), 3);
  writeFileSync(at('set/notes.txt'), 'no picture');
  writeFileSync(at('broken.png'), 'not a picture at all');
});

describe('results', () => {
  it('table: a header and one aligned row a picture, at most 80 columns wide', async () => {
    const { code, out } = await detect([at('set'), '--class', 'nut', '--threshold', '0']);
    expect(code).toBe(0);
    const rows = lines(out);
    expect(rows[0]).toMatch(/^PICTURE +SCORE +CLASS +MAP +VERDICT +REGIONS$/);
    expect(rows).toHaveLength(4);
    for (const row of rows) expect(row.length).toBe(rows[0]!.length);
    expect(rows[0]!.length).toBeLessThanOrEqual(80);
    expect(rows[1]).toMatch(/00\.png +0\.\d{4} +0\.\d{4} +0\.\d{4} +ANOMALY +-$/);
  });

  it('json: one array that parses, with the API’s names', async () => {
    const { out } = await detect([at('set'), '--class', 'nut', '--format', 'json']);
    const rows = JSON.parse(out);
    expect(rows.map((r: { path: string }) => r.path)).toEqual([
      at('set/a/00.png'),
      at('set/a/01.jpg'),
      at('set/b/00.png'),
    ]);
    expect(rows[1]).toEqual({
      path: at('set/a/01.jpg'),
      class: 'nut',
      score: expect.any(Number),
      parts: { cls: expect.any(Number), mapMax: expect.any(Number) },
      image: { width: 40, height: 30, format: 'jpeg' },
      timing: expect.any(Object),
    });
  });

  it('ndjson: a line is complete as soon as it is written', async () => {
    const { out } = await detect([at('set'), '--class', 'nut', '--format', 'ndjson']);
    expect(rowsOf(out).map((r) => path.basename(r.path))).toEqual(['00.png', '01.jpg', '00.png']);
  });

  it('csv: RFC 4180, with quotes around names that need them', async () => {
    const odd = await writePicture(at('a, "b".png'));
    const { out } = await detect([odd, '--class', 'nut', '--format', 'csv', '--regions', '0']);
    const [header, row] = out.split('\r\n');
    expect(header).toMatch(/^path,id,class,score,cls,map_max,anomalous,regions,boxes,/);
    expect(row!.startsWith(`"${odd.replaceAll('"', '""')}",,nut,0.`)).toBe(true);
    expect(row).toContain(',1,0 0 40 30,40,30,');
    expect(out.endsWith('\r\n')).toBe(true);
  });

  it('have no verdict without a threshold', async () => {
    const { out, err } = await detect([at('set/a'), '--class', 'nut', '--format', 'ndjson']);
    expect(rowsOf(out)[0]).not.toHaveProperty('isAnomalous');
    expect(err).not.toContain('anomalous');
  });

  it('go to --out, in the format that its name ends in, and never over another file', async () => {
    const file = at('scores.csv');
    const once = await detect([at('set'), '--class', 'nut', '--out', file]);
    expect(once).toMatchObject({ code: 0, out: '' });
    expect(readFileSync(file, 'utf8')).toMatch(/^path,id,/);
    const again = await detect([at('set'), '--class', 'nut', '--out', file]);
    expect(again.code).toBe(2);
    expect(again.err).toContain(`${file} exists\nChoose another name, or pass --overwrite.\n`);
    expect((await detect([at('set'), '--class', 'nut', '--out', file, '--overwrite'])).code).toBe(
      0,
    );
  });

  it('go with their pictures into a folder that --out names', async () => {
    const { code } = await detect([at('set'), '--class', 'nut', '--out', at('all/'), '--overlay']);
    expect(code).toBe(0);
    expect(readdirSync(at('all')).sort()).toEqual(['a', 'b', 'results.json']);
    expect(JSON.parse(readFileSync(at('all/results.json'), 'utf8'))[0].overlay).toBe(
      at('all/a/00.acd.png'),
    );
  });

  it('do not depend on how many pictures are in work at once', async () => {
    const alone = await detect([at('set/b/00.png'), '--class', 'nut', '--format', 'ndjson']);
    const many = Array<string>(9).fill(at('set/b/00.png'));
    const together = await detect([...many, '--class', 'nut', '--format', 'ndjson']);
    const scores = new Set(rowsOf(alone.out + together.out).map((r) => r.score));
    expect(scores.size).toBe(1);
  });
});

describe('pictures that fail', () => {
  it('have a row and a line on stderr; the others go on, and the exit code is 1', async () => {
    const args = [at('broken.png'), at('set/a/00.png'), at('gone.png'), '--class', 'nut'];
    const { code, out, err } = await detect([...args, '--format', 'json']);
    expect(code).toBe(1);
    const rows = JSON.parse(out);
    expect(rows[0].error).toMatchObject({ code: 'ERR_ACD_IMAGE_FORMAT' });
    expect(rows[0]).not.toHaveProperty('score');
    expect(rows[1].score).toBeGreaterThan(0);
    expect(rows[2].error).toMatchObject({ code: 'ERR_ACD_FILE_NOT_FOUND' });
    expect(err).toContain(`acd-clip: ${at('broken.png')}: Expected PNG`);
    expect(err).toContain('3 pictures, 2 failed');
  });

  it('are told with what to do about them', async () => {
    const stdin = `${JSON.stringify({ path: at('set/a/00.png') })}\n`;
    const { err } = await detect(['-'], { stdin });
    expect(err).toContain(
      `acd-clip: ${at('set/a/00.png')}: Expected a class for this picture but received none\nGive its line {`,
    );
  });

  it('are rows in the table and in csv too', async () => {
    const args = [at('broken.png'), '--class', 'nut'];
    expect((await detect(args)).out).toMatch(/broken\.png +- +- +- +error +-\n$/);
    const { out } = await detect([...args, '--format', 'csv']);
    expect(out).toMatch(/broken\.png,,nut,,,,,,,,,,,ERR_ACD_IMAGE_FORMAT,"Expected PNG, .*"\r\n$/);
  });

  it('end the run with --no-continue-on-error', async () => {
    const args = [at('broken.png'), at('set'), '--class', 'nut', '--format', 'ndjson'];
    const { code, out } = await detect([...args, '--no-continue-on-error']);
    expect(code).toBe(1);
    expect(rowsOf(out)).toHaveLength(1);
  });

  it('include folders and globs without any picture', async () => {
    mkdirSync(at('empty'));
    const { code, out } = await detect([at('empty'), at('*.webp'), '--class', 'nut', '-q']);
    expect(code).toBe(1);
    expect(lines(out)).toHaveLength(3);
  });

  it('cannot smuggle control characters to the terminal', async () => {
    const file = at('\u001b[31mred\n.png');
    const { out, err } = await detect([file, '--class', 'nut']);
    expect(out + err.replaceAll('\n', '')).not.toContain('\u001b');
    expect(lines(out)).toHaveLength(2);
  });
});

describe('inputs', () => {
  it('a glob is expanded when no file has that name', async () => {
    const { out } = await detect([at('set/**/*.png'), '--class', 'nut', '--format', 'ndjson']);
    expect(rowsOf(out).map((r) => r.path)).toEqual([at('set/a/00.png'), at('set/b/00.png')]);
  });

  it('a file that exists is itself, whatever its name looks like', async () => {
    const file = await writePicture(at('x[1]*.png'));
    const { code, out } = await detect([file, '--class', 'nut', '--format', 'ndjson']);
    expect(code).toBe(0);
    expect(rowsOf(out)).toMatchObject([{ path: file }]);
  });

  it('lines on stdin name pictures, each with its class and id', async () => {
    const stdin = [
      JSON.stringify({ path: at('set/a/00.png'), class: 'bolt', id: 7 }),
      '',
      JSON.stringify(at('set/b/00.png')),
    ].join('\n');
    const { code, out } = await detect(['-', '--class', 'nut', '--format', 'ndjson'], { stdin });
    expect(code).toBe(0);
    expect(rowsOf(out)).toMatchObject([{ id: 7, class: 'bolt' }, { class: 'nut' }]);
  });

  it('bad lines are rows with their line number, and work goes on', async () => {
    const stdin = `nonsense\n{"path": 3}\n{"path": "x.png", "clas": "nut"}\n${JSON.stringify(at('set/a/00.png'))}`;
    const { code, out } = await detect(['-', '--class', 'nut', '--format', 'ndjson'], { stdin });
    expect(code).toBe(1);
    const rows = rowsOf(out);
    expect(rows.map((r) => r.path)).toEqual(['stdin:1', 'stdin:2', 'stdin:3', at('set/a/00.png')]);
    expect(rows[2].error.message).toContain('did you mean "class"?');
    expect(rows[3].score).toBeGreaterThan(0);
  });

  it('a line without a class fails by itself when there is none for all', async () => {
    const stdin = `${JSON.stringify(at('set/a/00.png'))}\n${JSON.stringify({ path: at('set/a/00.png'), class: 'nut' })}`;
    const { out } = await detect(['-', '--format', 'ndjson'], { stdin });
    const [first, second] = rowsOf(out);
    expect(first.error.code).toBe('ERR_ACD_INVALID_ARG');
    expect(second.score).toBeGreaterThan(0);
  });

  it('a result is handed out while the sender is silent', async () => {
    const stdin = openStdin(`${JSON.stringify(at('set/a/00.png'))}\n`);
    const stop = new AbortController();
    const stdout = new BrokenPipe();
    const running = detect(['-', '--class', 'nut', '--format', 'ndjson'], {
      stdin,
      stdout,
      signal: stop.signal,
    });
    while (stdout.text === '') await new Promise((resolve) => setTimeout(resolve, 10));
    expect(JSON.parse(stdout.text).score).toBeGreaterThan(0);
    stop.abort(new Interrupted('SIGINT'));
    expect((await running).code).toBe(130);
  });
});

describe('drawings', () => {
  const draw = (args: string[]) => detect([...args, '--class', 'nut', '--format', 'ndjson']);

  it('lie beside their picture and have its size', async () => {
    mkdirSync(at('beside'));
    copyFileSync(at('set/a/00.png'), at('beside/p.png'));
    const { out } = await draw([at('beside/p.png'), '--overlay', '--heatmap', '--contour', '0.5']);
    expect(rowsOf(out)).toMatchObject([
      { overlay: at('beside/p.acd.png'), heatmap: at('beside/p.acd-map.png') },
    ]);
    for (const name of ['p.acd.png', 'p.acd-map.png']) {
      expect(await sharp(at('beside', name)).metadata()).toMatchObject({ width: 40, height: 30 });
    }
  });

  it('are no inputs of the next run, which may draw them anew', async () => {
    expect((await draw([at('beside'), '--overlay'])).code).toBe(0);
    const { out } = await draw([at('beside'), '--overlay']);
    expect(rowsOf(out)).toMatchObject([{ path: at('beside/p.png') }]);
  });

  it('never replace a file that this program did not make, unless told to', async () => {
    mkdirSync(at('kept'));
    copyFileSync(at('set/a/00.png'), at('kept/p.png'));
    copyFileSync(at('set/a/00.png'), at('kept/p.acd.png'));
    const before = readFileSync(at('kept/p.acd.png'));
    const { code, out } = await draw([at('kept/p.png'), '--overlay']);
    expect(code).toBe(1);
    expect(rowsOf(out)[0]).toMatchObject({ score: expect.any(Number), error: expect.any(Object) });
    expect(readFileSync(at('kept/p.acd.png'))).toEqual(before);
    expect((await draw([at('kept/p.png'), '--overlay', '--overwrite'])).code).toBe(0);
    expect(readFileSync(at('kept/p.acd.png'))).not.toEqual(before);
  });

  it('of equal names from different folders do not collide', async () => {
    const same = [at('set/a/00.png'), at('set/b/00.png')];
    const { out } = await draw([...same, '--overlay', at('drawn')]);
    const names = rowsOf(out).map((r) => r.overlay);
    expect(names).toEqual([at('drawn/00.acd.png'), at('drawn/00.png.acd.png')]);
    expect(readFileSync(names[0])).not.toEqual(readFileSync(names[1]));
  });

  it('keep the folders below a folder', async () => {
    await draw([at('set'), '--heatmap', at('tree')]);
    expect(existsSync(at('tree/a/00.acd-map.png'))).toBe(true);
    expect(existsSync(at('tree/b/00.acd-map.png'))).toBe(true);
  });

  it('differ by colormap and legend', async () => {
    const bytes: string[] = [];
    for (const extra of [[], ['--colormap', 'viridis'], ['--legend']]) {
      await draw([at('set/a/00.png'), '--overlay', at('looks'), ...extra]);
      bytes.push(readFileSync(at('looks/00.acd.png'), 'base64'));
    }
    expect(new Set(bytes).size).toBe(3);
  });

  it('refuse a folder that is a file, and say why that happens', async () => {
    const { code, err } = await draw(['--overlay', at('set/a/00.png'), at('set/b')]);
    expect(code).toBe(2);
    expect(err).toContain('put pictures before the options');
  });
});

describe('decisions', () => {
  const decide = (threshold: string, ...more: string[]) =>
    detect([at('set'), '--class', 'nut', '--threshold', threshold, ...more]);

  it('exit 3 with --fail-on-anomaly when a picture is anomalous, else 0', async () => {
    expect((await decide('0', '--fail-on-anomaly')).code).toBe(3);
    expect((await decide('1', '--fail-on-anomaly')).code).toBe(0);
    expect((await decide('0')).code).toBe(0);
  });

  it('exit 1 rather than 3 when a picture could not be scored', async () => {
    expect((await decide('0', '--fail-on-anomaly', at('broken.png'))).code).toBe(1);
  });

  it('need a threshold from somewhere', async () => {
    const base = [at('set'), '--class', 'nut'];
    for (const flags of [['--fail-on-anomaly'], ['--regions'], ['--overlay', '--contour']]) {
      const { code, err } = await detect([...base, ...flags]);
      expect(code).toBe(2);
      expect(err).toMatch(/^acd-clip: Expected /);
    }
  });
});

describe('models', () => {
  it('come as backbone and adapter, from options or from the environment', async () => {
    const parts = await writeTinyParts(folder);
    const args = ['detect', at('set/a/00.png'), '--class', 'nut', '--format', 'ndjson'];
    const pair = ['--backbone', parts.backbone, '--adapter', parts.adapter];
    const runs = [
      await cli([...args, ...pair]),
      await cli([...args, ...pair], { env: { ACD_BUNDLE: '/no/such' } }),
      await cli(args, { env: { ACD_BACKBONE: parts.backbone, ACD_ADAPTER: parts.adapter } }),
      await cli([...args, '--bundle', bundle], { env: { ACD_BACKBONE: '/no/such' } }),
    ];
    expect(runs.map((r) => r.code)).toEqual([0, 0, 0, 0]);
    expect(new Set(runs.map((r) => rowsOf(r.out)[0].score)).size).toBe(1);
  });

  it('take the flags of the published scripts', async () => {
    const args = [at('set/a/00.png'), '--class', 'nut', '--format', 'ndjson'];
    const ours = await detect([...args, '--image-size', '56', '--lora-alpha', '1']);
    const theirs = await detect([...args, '--img_size', '56', '--lora_alpha=1']);
    const neither = await detect(args);
    expect(rowsOf(theirs.out)[0].score).toBe(rowsOf(ours.out)[0].score);
    expect(rowsOf(neither.out)[0].score).not.toBe(rowsOf(ours.out)[0].score);
  });

  it('say on stderr where they run, unless --quiet', async () => {
    const args = [at('set/a/00.png'), '--class', 'nut'];
    expect((await detect(args)).err).toContain('Model ready on cpu');
    expect((await detect([...args, '--quiet'])).err).toBe('');
  });
});

describe('prompts', () => {
  it('may be the user’s own, or those of a dataset', async () => {
    const prompts = at('prompts.json');
    writeFileSync(prompts, '{"normal": ["a nut."], "abnormal": ["a bad nut."]}');
    const nouns = at('nouns.json');
    writeFileSync(nouns, '{"metal_nut": "thing"}');
    const scores = [];
    for (const flags of [
      ['--prompts', prompts],
      ['--class', 'metal_nut'],
      ['--class', 'metal_nut', '--dataset', 'MVTec'],
      ['--class', 'metal_nut', '--nouns', nouns],
      ['--class', 'metal_nut', '--domain', 'medical'],
    ]) {
      const { code, out } = await detect([at('set/a/00.png'), ...flags, '--format', 'ndjson']);
      expect(code).toBe(0);
      scores.push(rowsOf(out)[0].score);
    }
    expect(new Set(scores).size).toBe(5);
  });

  it('warn of a class that the dataset has no noun for, and go on', async () => {
    const noun = at('own-nouns.json');
    writeFileSync(noun, '{"zippr": "a zip"}');
    const warned = async (...flags: string[]) => {
      const { code, out, err } = await detect([at('set/a/00.png'), ...flags]);
      expect(code).toBe(0);
      expect(out).not.toContain('warning');
      return lines(err).filter((line) => line.includes('warning'));
    };
    expect(await warned('--class', 'zippr', '--dataset', 'MVTec')).toEqual([
      'acd-clip: warning: MVTec has no noun for the class "zippr" (did you mean "zipper"?): prompts will say "zippr"; --nouns gives it another',
    ]);
    expect(await warned('--class', 'bracket_black', '--dataset', 'MPDD')).toEqual([
      'acd-clip: warning: MPDD has no noun for the class "bracket_black": prompts will say "bracket black"; --nouns gives it another',
    ]);
    expect(await warned('--class', 'zippr', '--dataset', 'MVTec', '--nouns', noun)).toEqual([]);
    expect(await warned('--class', 'metal nut', '--dataset', 'MVTec')).toEqual([]);
    expect(await warned('--class', 'Crush', '--dataset', 'RSDD')).toEqual([]);
    expect(await warned('--class', 'anything', '--dataset', 'Liver')).toEqual([]);
    expect(await warned('--class', 'zippr')).toEqual([]);
  });

  it('that are no JSON, or missing, end the run before a model is loaded', async () => {
    writeFileSync(at('bad.json'), '{');
    const bad = await detect([at('set'), '--prompts', at('bad.json')]);
    expect(bad).toMatchObject({ code: 2, out: '' });
    const none = await detect([at('set'), '--prompts', at('none.json')]);
    expect(none).toMatchObject({ code: 1, out: '' });
    expect(bad.err + none.err).not.toContain('Model ready');
  });

  it('that are too long for the model end the run at once', async () => {
    const { code, out, err } = await detect([at('set'), '--class', 'nut '.repeat(90)]);
    expect(code).toBe(1);
    expect(out).toBe('');
    expect(err).toMatch(/^acd-clip: /m);
  });
});

describe('endings', () => {
  it('a reader that leaves ends the run quietly', async () => {
    const stdout = new BrokenPipe();
    const { code, err } = await detect([at('set'), '--class', 'nut', '-q'], { stdout });
    expect(code).toBe(0);
    expect(err).toBe('');
  });

  it('an interruption ends the run with 130 and one line', async () => {
    const stop = new AbortController();
    stop.abort(new Interrupted('SIGINT'));
    const early = await detect([at('set'), '--class', 'nut'], { signal: stop.signal });
    expect(early).toMatchObject({ code: 130, err: 'acd-clip: interrupted\n' });
  });

  it('an interruption ends waiting for lines on stdin', async () => {
    const stop = new AbortController();
    setTimeout(() => stop.abort(new Interrupted('SIGTERM')), 300);
    const stdin = openStdin();
    const { code } = await detect(['-', '--class', 'nut'], { stdin, signal: stop.signal });
    expect(code).toBe(143);
    expect(stdin.destroyed).toBe(true);
  });

  it('on a terminal the bar is cleared and the data stays clean', async () => {
    const { out, err } = await detect([at('set'), at('broken.png'), '--class', 'nut'], {
      tty: true,
    });
    expect(out).not.toContain('\u001b');
    expect(err).toContain('Loading weights');
    expect(lines(out)).toHaveLength(5);
  });
});
