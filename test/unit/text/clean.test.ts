import { clean } from '../../../lib/text/clean';

describe('cleaning', () => {
  test('makes curly quotes straight, takes ligatures apart and folds character width', () => {
    expect(clean('“ﬁne” ‘ﬂow’')).toBe('"fine" \'flow\'');
    expect(clean('Ｆｕｌｌ　Ｗｉｄｔｈ ｶﾀｶﾅ')).toBe('full width カタカナ');
  });

  test('repairs UTF-8 that was read as Windows-1252, even twice', () => {
    expect(clean('schÃ¶n')).toBe('schön');
    expect(clean('â€œquotedâ€\x9d')).toBe('"quoted"');
    expect(clean('ÃƒÂ©')).toBe('é');
    expect(clean('Å“uvre, â‰¤ 5 Âµm')).toBe('œuvre, ≤ 5 µm');
  });

  test('repairs a broken word beside correct text', () => {
    expect(clean('größer als grÃ¶ÃŸer')).toBe('größer als größer');
  });

  test.each([
    'pensé…”',
    'CAFÉ™',
    'Ø½ pipe',
    'Ø20 ±0.1',
    '3×½ inch',
    'Fuß²',
    'são João',
    'Škoda',
    '30 °C',
    'naïve®',
  ])('leaves the correct text %s alone', (text) => {
    const straight = text.replaceAll(/[“”]/g, '"').toLowerCase();
    expect(clean(text)).toBe(straight);
  });

  test('decodes HTML references as Python does', () => {
    expect(clean('&amp;lt;b&amp;gt; P&EACUTE;REZ AT&T')).toBe('<b> pérez at&t');
    expect(clean('a&#1;b&#xfdd0;c &#128; &#xd800;')).toBe('abc € \ufffd');
  });

  test('removes control characters, terminal escapes and byte order marks', () => {
    expect(clean('\ufeffnul\x00 \x1b[31mred\x1b[0m \x7f\ufffc')).toBe('nul red');
  });

  test('reads C1 controls as Windows-1252', () => {
    expect(clean('\x80 5 \x96 \x85')).toBe('€ 5 – …');
  });

  test('folds every white space that Python knows, and only that', () => {
    expect(clean(' a\t\r\n\x0b\x0c\xa0\u2003\u2028b\u1680c ')).toBe('a b c');
    expect(clean('a\u200bb')).toBe('a\u200bb');
  });

  test('lower-cases final sigma and dotted capital I as Python does', () => {
    expect(clean('ΟΔΟΣ. İI')).toBe('οδος. i̇i');
  });

  test('replaces lone surrogates and keeps pairs', () => {
    expect(clean('\ud800x 😀 \udc00')).toBe('\ufffdx 😀 \ufffd');
  });

  test('refuses what is too long or no string before doing any work', () => {
    expect(() => clean('x'.repeat(10_001))).toThrow(
      expect.objectContaining({ code: 'ERR_ACD_PROMPT_TOO_LONG' }),
    );
    expect(() => clean(5 as unknown as string)).toThrow(
      expect.objectContaining({ code: 'ERR_ACD_INVALID_ARG' }),
    );
  });
});
