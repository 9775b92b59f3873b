// ftfy.fix_text as far as CLIP prompts need it: what broken text most likely meant.
import { unescapeWholeReferences } from './html';
import { fixHighControls, fixMojibake } from './mojibake';

const LIGATURES: Readonly<Record<string, string>> = {
  Ĳ: 'IJ',
  ĳ: 'ij',
  ŉ: "'n",
  Ǆ: 'DŽ',
  ǅ: 'Dž',
  ǆ: 'dž',
  Ǉ: 'LJ',
  ǈ: 'Lj',
  ǉ: 'lj',
  Ǌ: 'NJ',
  ǋ: 'Nj',
  ǌ: 'nj',
  Ǳ: 'DZ',
  ǲ: 'Dz',
  ǳ: 'dz',
  ﬀ: 'ff',
  ﬁ: 'fi',
  ﬂ: 'fl',
  ﬃ: 'ffi',
  ﬄ: 'ffl',
  ﬅ: 'ſt',
  ﬆ: 'st',
};
const LIGATURE = new RegExp(`[${Object.keys(LIGATURES).join('')}]`, 'g');

// biome-ignore lint/suspicious/noControlCharactersInRegex: an escape sequence begins with one
const TERMINAL_ESCAPE = /\x1b\[[\d;]*[a-zA-Z]/g;
// C0 without tab, line feed, form feed and carriage return; DEL; deprecated Arabic controls;
// byte order mark; interlinear annotations; object replacement character.
// biome-ignore lint/suspicious/noControlCharactersInRegex: they are what it removes
const CONTROL = /[\0-\x08\x0b\x0e-\x1f\x7f\u206a-\u206f\ufeff\ufff9-\ufffc]/g;

const STEPS: readonly ((text: string) => string)[] = [
  fixMojibake,
  fixHighControls,
  (t) => t.replace(LIGATURE, (c) => LIGATURES[c]!),
  (t) => t.replace(/\u3000/g, ' ').replace(/[\uff01-\uffef]/g, (c) => c.normalize('NFKC')),
  (t) => t.replace(/[\u201c-\u201f]/g, '"').replace(/[\u02bc\u2018-\u201b]/g, "'"),
  (t) => t.replace(/\r\n?|[\u2028\u2029\x85]/g, '\n'),
  (t) => t.replace(/\p{Surrogate}/gu, '\ufffd'),
  (t) => t.replace(TERMINAL_ESCAPE, ''),
  (t) => t.replace(CONTROL, ''),
  (t) => t.normalize('NFC'),
];

/**
 * Repairs text line by line, as ftfy 6.3 does with its default settings: HTML references (until a
 * line with `<` shows that the text is HTML), UTF-8 read as Latin-1 or Windows-1252, C1 controls,
 * Latin ligatures, full- and half-width forms, curly quotes, line breaks, lone surrogates (to
 * U+FFFD), terminal escapes, control characters, NFC; each line until nothing changes any more.
 *
 * Not covered: mojibake through other code pages (Windows-1250, 1251, 1253, 1254, 1257,
 * ISO 8859-2, MacRoman, CP437) and CESU-8; mojibake that has since lost bytes (a no-break space
 * that became a space, characters that became `?` or U+FFFD). Which sequences count as mojibake is a
 * rule of our own: where a sequence could be correct text, the two may decide differently.
 */
export function fixText(text: string): string {
  let isHtml = false;
  return text
    .split(/(?<=\n)/)
    .map((line) => {
      isHtml ||= line.includes('<');
      return fixLine(line, isHtml);
    })
    .join('');
}

function fixLine(line: string, isHtml: boolean): string {
  let text = line;
  while (true) {
    const before = text;
    if (!isHtml) text = unescapeWholeReferences(text);
    for (const step of STEPS) text = step(text);
    if (text === before) return text;
  }
}
