import fc from 'fast-check';
import { AcdClipError } from '../../lib/errors';
import { clean } from '../../lib/text/clean';
import { fixText } from '../../lib/text/fix-text';
import { checkPrompts, promptsFor } from '../../lib/text/prompts';
import { encode, tokenize } from '../../lib/text/tokenizer';

const units = fc.array(fc.integer({ min: 0, max: 0xffff }), { maxLength: 40 });
/** Any UTF-16 at all, lone surrogates included. */
const anyUtf16 = units.map((codes) => String.fromCharCode(...codes));
/** The characters that cleaning treats specially, close together. */
const tricky = fc.string({
  unit: fc.constantFrom(
    ...'aZ0 &;#xlt<>\'"“’…™€ÂÃÅâðéß°½Ÿœ\x80\x9d\xa0\x1b[m\n\r\u2028\ufeff\u0301ﬁＡｶﾞİΣſ\ud83d\ude00'.split(
      '',
    ),
    '&amp;',
    '&eacute;',
    '😀',
  ),
  maxLength: 24,
});
const text = fc.oneof(anyUtf16, tricky, fc.string({ unit: 'grapheme' }));

describe('any text', () => {
  test('is cleaned to well-formed, trimmed text of single spaces', () => {
    fc.assert(
      fc.property(text, (t) => {
        const cleaned = clean(t);
        expect(cleaned).not.toMatch(/\p{Surrogate}/u);
        expect(cleaned).not.toMatch(/^\s|[\t\n\r]| {2}| $/);
      }),
      { numRuns: 2000 },
    );
  });

  test('is encoded between one start and one end token, with ids of the vocabulary', () => {
    fc.assert(
      fc.property(text, (t) => {
        const ids = encode(t);
        expect([ids[0], ids.at(-1)]).toEqual([49406, 49407]);
        expect(ids.slice(1, -1).every((id) => Number.isInteger(id) && id >= 0 && id < 49406)).toBe(
          true,
        );
      }),
      { numRuns: 2000 },
    );
  });

  test('is repaired once and for all', () => {
    fc.assert(
      fc.property(text, (t) => {
        // A repaired line may fall into several, or show itself as HTML, which is judged anew.
        fc.pre(!/[\n\r\u2028\u2029\x85<]|&/.test(t));
        const fixed = fixText(t);
        expect(fixText(fixed)).toBe(fixed);
      }),
      { numRuns: 2000 },
    );
  });

  test('without references or Western accents does not change when it is cleaned again', () => {
    const plain = fc
      .string({ unit: 'grapheme' })
      .filter((t) => !/[&\x80-\u02ff\u2010-\u2122]/.test(t));
    fc.assert(
      fc.property(plain, (t) => {
        const cleaned = clean(t);
        expect(clean(cleaned)).toBe(cleaned);
      }),
      { numRuns: 2000 },
    );
  });

  test('in correct Latin-1 words is only lower-cased', () => {
    const letters = fc.constantFrom(...'abcdefgxyzäöüßéèêàáâãåæçñóôõøúûüÿ'.split(''));
    const word = fc.string({ unit: letters, minLength: 1, maxLength: 8 });
    fc.assert(
      fc.property(fc.array(word, { minLength: 1, maxLength: 5 }), (words) => {
        expect(clean(words.join(' '))).toBe(words.join(' '));
      }),
    );
  });
});

describe('any arguments', () => {
  const onlyOurErrors = (call: () => unknown) => {
    try {
      call();
    } catch (error) {
      if (!(error instanceof AcdClipError)) throw error;
    }
  };

  test('never make the text room throw anything but an AcdClipError', () => {
    fc.assert(
      fc.property(fc.anything(), fc.anything(), (a, b) => {
        for (const f of [clean, encode, tokenize, promptsFor, checkPrompts]) {
          onlyOurErrors(() => (f as (x: unknown, y: unknown) => unknown)(a, b));
        }
        onlyOurErrors(() => tokenize([a, b] as string[]));
        onlyOurErrors(() => checkPrompts({ normal: a, abnormal: b }));
      }),
      { numRuns: 1000 },
    );
  });

  test('give a batch whose rows are the single encodings', () => {
    fc.assert(
      fc.property(fc.array(text, { minLength: 1, maxLength: 5 }), (prompts) => {
        const { tokens, length } = tokenize(prompts, { contextLength: 4096 });
        prompts.forEach((prompt, i) => {
          const ids = encode(prompt);
          const row = [...tokens.subarray(i * length, (i + 1) * length)];
          expect(row).toEqual([...ids, ...Array(length - ids.length).fill(0)]);
        });
      }),
      { numRuns: 300 },
    );
  });
});
