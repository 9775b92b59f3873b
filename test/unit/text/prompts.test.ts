import { checkPrompts, MAX_PROMPTS, promptsFor } from '../../../lib/text/prompts';

const invalid = (message: RegExp) =>
  expect.objectContaining({ code: 'ERR_ACD_INVALID_ARG', message: expect.stringMatching(message) });

describe('promptsFor', () => {
  test('gives the published sentences in the published order', () => {
    expect(promptsFor('metal nut')).toEqual({
      normal: [
        'metal nut.',
        'a photo of metal nut.',
        'a metal nut.',
        'a photo of a metal nut.',
        'the metal nut.',
        'a photo of the metal nut.',
      ],
      abnormal: [
        'a damaged metal nut.',
        'a photo of a damaged metal nut.',
        'a broken metal nut.',
        'a photo of a broken metal nut.',
        'a metal nut with flaw.',
        'a photo of a metal nut with flaw.',
        'a metal nut with defect.',
        'a photo of a metal nut with defect.',
        'a metal nut with damage.',
        'a photo of a metal nut with damage.',
      ],
    });
  });

  test.each(['{}', '$&', "$'{}$1", 'a {} b', '瓶😀', '\\'])(
    'keeps the noun %j as it is',
    (noun) => {
      const { normal, abnormal } = promptsFor(noun);
      expect(normal[0]).toBe(`${noun}.`);
      expect(abnormal[1]).toBe(`a photo of a damaged ${noun}.`);
    },
  );

  test('takes states and templates of the user', () => {
    const o = {
      normalStates: ['good {}'],
      abnormalStates: ['bad {}', 'torn {}'],
      templates: ['{}!'],
    };
    expect(promptsFor('bag', o)).toEqual({
      normal: ['good bag!'],
      abnormal: ['bad bag!', 'torn bag!'],
    });
  });

  test('refuses an empty noun, a pattern without {}, and misspelt options', () => {
    expect(() => promptsFor('')).toThrow(invalid(/for noun/));
    expect(() => promptsFor('x', { templates: ['photo'] })).toThrow(invalid(/templates\[0\]/));
    expect(() => promptsFor('x', { template: ['{}'] } as object)).toThrow(
      expect.objectContaining({
        code: 'ERR_ACD_UNKNOWN_OPTION',
        message: expect.stringContaining('"templates"'),
      }),
    );
  });

  test('refuses more sentences than a list may hold', () => {
    const many = Array.from({ length: MAX_PROMPTS }, (_, i) => `${i} {}`);
    expect(() => promptsFor('x', { normalStates: many })).toThrow(invalid(/prompts\.normal/));
  });
});

describe('checkPrompts', () => {
  test('returns a copy of good prompts', () => {
    const given = { normal: ['a bag'], abnormal: ['a torn bag', 'x'] };
    const checked = checkPrompts(given);
    expect(checked).toEqual(given);
    expect(checked.normal).not.toBe(given.normal);
  });

  test.each([
    [null],
    [['a']],
    [{}],
    [{ normal: [], abnormal: ['a'] }],
    [{ normal: ['a'], abnormal: [''] }],
    [{ normal: ['a'], abnormal: 'a' }],
    [{ normal: ['a'], abnormal: [1] }],
    [{ normal: new Array(3), abnormal: ['a'] }],
    [{ normal: ['x'.repeat(10_001)], abnormal: ['a'] }],
    [{ normal: Array(MAX_PROMPTS + 1).fill('a'), abnormal: ['a'] }],
  ])('refuses %#', (value) => {
    expect(() => checkPrompts(value)).toThrow(invalid(/prompts/));
  });

  test('names an unknown key', () => {
    expect(() => checkPrompts({ normal: ['a'], anormal: ['b'] })).toThrow(
      expect.objectContaining({ code: 'ERR_ACD_UNKNOWN_OPTION' }),
    );
  });
});
