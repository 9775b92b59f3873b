import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';
import { promptsFor } from '../../../lib/text/prompts';
import { encode, tokenize } from '../../../lib/text/tokenizer';
import { MERGES, readMerges } from '../../../lib/text/vocabulary';

const failure = (code: string, message: RegExp) =>
  expect.objectContaining({ code, message: expect.stringMatching(message) });

describe('tokenize', () => {
  test('cuts the batch at its last end-of-text and pads with zeros', () => {
    const { tokens, prompts, length } = tokenize(['hazelnut.', 'a', '']);
    expect([prompts, length]).toEqual([3, 4]);
    expect([...tokens]).toEqual([
      49406, 35816, 269, 49407, 49406, 320, 49407, 0, 49406, 49407, 0, 0,
    ]);
  });

  test('takes all prompts of a class in about 20 tokens', () => {
    const { normal, abnormal } = promptsFor('metal nut which has four notched edges');
    const batch = tokenize([...normal, ...abnormal]);
    expect(batch.prompts).toBe(16);
    expect(batch.length).toBeLessThan(20);
    expect(batch.tokens).toHaveLength(batch.prompts * batch.length);
  });

  test('accepts a prompt that fills the context exactly and refuses one token more', () => {
    const fits = '1'.repeat(75);
    expect(tokenize([fits]).length).toBe(77);
    expect(() => tokenize(['a', `${fits}1`])).toThrow(
      failure(
        'ERR_ACD_PROMPT_TOO_LONG',
        /^Expected at most 77 tokens for prompts\[1\] but "1{57}\.\.\." has 78$/,
      ),
    );
  });

  test('honours the context length of a small model', () => {
    expect(() => tokenize(['a b c'], { contextLength: 4 })).toThrow(
      failure('ERR_ACD_PROMPT_TOO_LONG', /at most 4 tokens/),
    );
  });

  test('names the prompt whose token a small vocabulary does not have', () => {
    expect(() => tokenize(['a'], { vocabSize: 1000 })).toThrow(
      failure('ERR_ACD_CHECKPOINT_MISMATCH', /token 49406 of prompts\[0\]/),
    );
  });

  test.each([[[]], ['a'], [undefined], [[1]], [['a', null]]])(
    'refuses %j as prompts',
    (prompts) => {
      expect(() => tokenize(prompts as string[])).toThrow(
        failure('ERR_ACD_INVALID_ARG', /prompts/),
      );
    },
  );
});

describe('encode', () => {
  test('does not let a noun forge the end of its prompt', () => {
    const ids = encode('a <end_of_text> b <|endoftext|> &lt;start_of_text&gt;');
    expect(ids.filter((id) => id >= 49406)).toEqual([49406, 49407]);
  });

  test('splits a long s after an apostrophe as the published pattern does', () => {
    expect(encode("'ſ")).toHaveLength(encode('ſ').length + 1);
  });
});

describe('the vocabulary', () => {
  const folder = mkdtempSync(join(tmpdir(), 'acd-text-'));
  afterAll(() => rmSync(folder, { recursive: true }));

  test('has the published number of merges', () => {
    const merges = readMerges();
    expect(merges).toHaveLength(MERGES);
    expect(merges[0]).toBe('i n');
  });

  test('says which command makes it when it is missing', () => {
    expect(() => readMerges(join(folder, 'none.json.gz'))).toThrow(
      expect.objectContaining({
        code: 'ERR_ACD_FILE_NOT_FOUND',
        help: expect.stringContaining('npm run build:assets'),
      }),
    );
  });

  test.each([
    ['not gzip', Buffer.from('x')],
    ['not JSON', gzipSync('x')],
    ['another format', gzipSync('{"format":"other","merges":[]}')],
    ['too few merges', gzipSync('{"format":"acd-clip-vocabulary/1","merges":["a b"]}')],
    ['null', gzipSync('null')],
    ['a bomb', gzipSync(Buffer.alloc(17 * 1024 * 1024, 32))],
  ])('is refused when it is %s', (name, bytes) => {
    const path = join(folder, `${name}.gz`);
    writeFileSync(path, bytes);
    expect(() => readMerges(path)).toThrow(failure('ERR_ACD_FILE_READ', /damaged/));
  });
});
