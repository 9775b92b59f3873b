// The pieces under the commands: rows as text, names of drawings, work in order.

import { FORMATS, formatter } from '../../../lib/cli/output';
import { pictureAt } from '../../../lib/cli/picture';
import { PictureFiles } from '../../../lib/cli/picture-files';
import { inOrder } from '../../../lib/in-order';

const row = { path: 'a.png', score: 0.25, parts: { cls: 0.25, mapMax: 0.25 } };

describe('formatters', () => {
  it('write JSON that parses even for numbers that JSON does not have', () => {
    for (const score of [Number.NaN, Number.POSITIVE_INFINITY]) {
      const text = formatter('ndjson', []);
      expect(JSON.parse(text.row({ ...row, score })).score).toBeNull();
    }
  });

  it('write a whole document for no rows at all', () => {
    const empty = FORMATS.map((name) => formatter(name, [])).map((f) => f.start() + f.end());
    expect(empty[0]).toMatch(/^PICTURE .*REGIONS\n$/);
    expect(JSON.parse(empty[1]!)).toEqual([]);
    expect(empty[2]).toBe('');
    expect(empty[3]).toMatch(/^path,.*,error\r\n$/);
  });

  it('quote commas, quotes and line feeds in csv, and nothing else', () => {
    const csv = formatter('csv', []);
    expect(csv.row({ ...row, path: 'a b.png' })).toMatch(/^a b\.png,/);
    expect(csv.row({ ...row, path: 'a,"b"\n.png' })).toMatch(/^"a,""b""\n\.png",/);
  });

  it('keep the end of a long name in the table', () => {
    const name = `${'folder/'.repeat(20)}nut.jpg`;
    const line = formatter('table', [name]).row({ ...row, path: name });
    expect(line).toMatch(/^\.\.\.folder\/.*\/nut\.jpg {2}0\.2500/);
    expect(line.trimEnd().length).toBe(80);
  });
});

describe('names of drawings', () => {
  it('are different for different pictures, and the same for the same picture', () => {
    const files = new PictureFiles('out', '.acd.png');
    const names = ['a/x.png', 'a/x.jpg', 'b/x.png', 'c/x.png', 'a/x.png'].map((file) =>
      files.nameFor(pictureAt(file)),
    );
    expect(names).toEqual([
      'out/x.acd.png',
      'out/x.jpg.acd.png',
      'out/x.png.acd.png',
      'out/x.png-2.acd.png',
      'out/x.acd.png',
    ]);
  });

  it('lie beside the picture without a folder', () => {
    expect(new PictureFiles(undefined, '.acd.png').nameFor(pictureAt('a/x.png'))).toBe(
      'a/x.acd.png',
    );
  });
});

describe('inOrder', () => {
  async function* numbers(n: number) {
    for (let i = 0; i < n; i++) yield i;
  }
  const wait = (ms: number) => new Promise((resolve) => setTimeout(resolve, ms));

  it('keeps the order of the inputs and never exceeds its limit', async () => {
    let running = 0;
    let most = 0;
    const work = async (i: number) => {
      most = Math.max(most, ++running);
      await wait(i % 3 === 0 ? 20 : 1);
      running--;
      return i;
    };
    const results: number[] = [];
    for await (const i of inOrder(numbers(20), 4, work)) results.push(i);
    expect(results).toEqual(Array.from({ length: 20 }, (_, i) => i));
    expect(most).toBe(4);
  });

  it('fails when the turn of the failed one comes, after what is running has ended', async () => {
    let ended = 0;
    const work = async (i: number) => {
      if (i === 2) throw new Error('two');
      await wait(5);
      ended++;
      return i;
    };
    const results: number[] = [];
    const all = (async () => {
      for await (const i of inOrder(numbers(10), 4, work)) results.push(i);
    })();
    await expect(all).rejects.toThrow('two');
    expect(results).toEqual([0, 1]);
    expect(ended).toBeGreaterThanOrEqual(3);
  });
});
