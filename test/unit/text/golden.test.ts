import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { clean } from '../../../lib/text/clean';
import { encode } from '../../../lib/text/tokenizer';

const fixture = (name: string) =>
  JSON.parse(readFileSync(join(__dirname, '../../fixtures/text', name), 'utf8'));

const TOKENS: { text: string; ids: number[] }[] = fixture('tokens.json');

// [group, text, cleaned, ids], see test/reference/make_text_cases.py
const CASES: [string, string, string, number[]][] = fixture('cases.json');

// Where our rule for mojibake decides differently, and why that is accepted.
const DIFFERENT: Record<string, string> = {
  'Ã x': 'a no-break space that became a space is not restored',
  'Â x': 'a no-break space that became a space is not restored',
  'Õ°Õ¡ÕµÕ¥Ö€Õ¥Õ¶ ÔµÕŽ Ö‡': 'Armenian is decoded, ftfy leaves it broken',
  ÔµÕŽ: 'Armenian is decoded, ftfy leaves it broken',
  'Õ°Õ¡ÕµÕ¥Ö€Õ¥Õ¶': 'Armenian is decoded, ftfy leaves it broken',
  'Â¥6': 'the yen sign is decoded, ftfy leaves it broken',
  'schön größer Straße ÄÖÜ ÐŽÐ·Ð±ÐµÐº': 'Uzbek Cyrillic is decoded, ftfy leaves it broken',
  'Ø§Y#': 'a lone Ø with a sign stays: it is more often a diameter than Arabic',
  'X°-œ;ﬁ×Ÿ)X': 'a lone × with a letter stays',
  'µÅ)×š.bµc\x92': 'a lone × with a letter stays',
};
const differs = (text: string) => Object.hasOwn(DIFFERENT, text);

describe('against the published tokeniser', () => {
  test.each(TOKENS)('the ids of $text are the same', ({ text, ids }) => {
    expect(encode(text)).toEqual(ids);
  });

  test.each([...new Set(CASES.map(([group]) => group))])(
    'text of the group %s is cleaned and encoded to the same ids',
    (group) => {
      const rows = CASES.filter(([g, text]) => g === group && !differs(text));
      expect(rows.map(([, text]) => [text, clean(text)])).toEqual(rows.map(([, t, c]) => [t, c]));
      expect(rows.map(([, text]) => encode(text))).toEqual(rows.map(([, , , ids]) => ids));
    },
  );

  test('the differences are the listed ones and no more', () => {
    const found = CASES.filter(([, text, cleaned]) => clean(text) !== cleaned);
    expect(found.map(([, text]) => text).filter((t) => !differs(t))).toEqual([]);
    expect(found).toHaveLength(Object.keys(DIFFERENT).length);
    expect(found.length / CASES.length).toBeLessThan(0.015);
  });
});
