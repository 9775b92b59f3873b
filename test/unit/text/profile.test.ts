import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { nounFor } from '../../../lib/text/nouns';
import { readNouns } from '../../../lib/text/profile';

const folder = mkdtempSync(join(tmpdir(), 'acd-nouns-'));
afterAll(() => rmSync(folder, { recursive: true }));

const file = (contents: string | Buffer) => {
  const path = join(folder, 'nouns.json');
  writeFileSync(path, contents);
  return path;
};
const failure = (code: string, message: string) =>
  expect.objectContaining({ code, message: expect.stringContaining(message) });

describe('readNouns', () => {
  test('reads a file that nounFor then prefers', async () => {
    const nouns = await readNouns(file('\ufeff{"bracket_black": "black bracket", "é": "ü"}'));
    expect(nounFor('bracket_black', { dataset: 'MPDD', nouns })).toBe('black bracket');
    expect(nouns).toEqual({ bracket_black: 'black bracket', é: 'ü' });
  });

  test('keeps a class called __proto__ an ordinary class', async () => {
    const nouns = await readNouns(file('{"__proto__": "x"}'));
    expect(nounFor('__proto__', { nouns })).toBe('x');
    expect(nounFor('toString', { nouns })).toBe('toString');
  });

  test.each([
    ['text that is not JSON', '{'],
    ['an array', '[]'],
    ['null', 'null'],
    ['a number as noun', '{"a": 1}'],
    ['a nested object', '{"a": {"b": "c"}}'],
    ['an empty noun', '{"a": " "}'],
    ['an empty class', '{"": "a"}'],
    ['a noun that is too long', JSON.stringify({ a: 'x'.repeat(1001) })],
    ['bytes that are not UTF-8', Buffer.from([0x22, 0xff, 0x22])],
    ['too many bytes', Buffer.alloc(1024 * 1024 + 1, 0x20)],
  ])('refuses %s and names the file', async (_, contents) => {
    await expect(readNouns(file(contents))).rejects.toEqual(
      failure('ERR_ACD_INVALID_ARG', 'nouns.json'),
    );
  });

  test('says that a file is missing or is a folder', async () => {
    await expect(readNouns(join(folder, 'none'))).rejects.toEqual(
      failure('ERR_ACD_FILE_NOT_FOUND', 'none'),
    );
    await expect(readNouns(folder)).rejects.toEqual(
      failure('ERR_ACD_FILE_READ', 'not a regular file'),
    );
    await expect(readNouns('a\0b')).rejects.toEqual(failure('ERR_ACD_FILE_READ', 'null bytes'));
    await expect(readNouns('')).rejects.toEqual(failure('ERR_ACD_INVALID_ARG', 'path'));
  });
});
