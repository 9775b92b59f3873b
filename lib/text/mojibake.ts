// UTF-8 that was read as Latin-1 or Windows-1252 ("schÃ¶n" for "schön"), undone with caution.

// Windows-1252 for the bytes 0x80 to 0x9F. The five bytes that it leaves open stay control
// characters, as every browser reads them.
const HIGH_CONTROLS =
  '\u20ac\x81\u201a\u0192\u201e\u2026\u2020\u2021\u02c6\u2030\u0160\u2039\u0152\x8d\u017d\x8f' +
  '\x90\u2018\u2019\u201c\u201d\u2022\u2013\u2014\u02dc\u2122\u0161\u203a\u0153\x9d\u017e\u0178';

const BYTE_OF = new Map([...HIGH_CONTROLS].map((char, i) => [char, String.fromCharCode(0x80 + i)]));
const NO_BYTE = '\u0100';

// Well-formed UTF-8 of more than one byte: no overlong forms, surrogates or values past U+10FFFF.
const SEQUENCE = [
  '[\\xc2-\\xdf][\\x80-\\xbf]',
  '\\xe0[\\xa0-\\xbf][\\x80-\\xbf]',
  '[\\xe1-\\xec\\xee\\xef][\\x80-\\xbf]{2}',
  '\\xed[\\x80-\\x9f][\\x80-\\xbf]',
  '\\xf0[\\x90-\\xbf][\\x80-\\xbf]{2}',
  '[\\xf1-\\xf3][\\x80-\\xbf]{3}',
  '\\xf4[\\x80-\\x8f][\\x80-\\xbf]{2}',
].join('|');
const SEQUENCES = new RegExp(SEQUENCE, 'g');
// Not behind a stray continuation byte, quotes and dashes apart: what is torn is not repaired.
const RUNS = new RegExp(`(?<![\\x80-\\x83\\x86-\\x90\\x98-\\xbf])(?:${SEQUENCE})+`, 'g');

// What may follow an accented letter in correct text, from common to rare. Everything else in the
// upper half of Windows-1252 is a letter or a symbol that hardly ever stands there.
const PLAIN_MARK = /[\xa0\xad\xb4\xb7\u2013\u2014\u2019\u2026]/;
const MARK = /[\xa1\xa9\xab\xae\xb0\xbb\xbf\u2018\u201a\u201c-\u201e\u2022\u2039\u203a\u2122]/;
const MONEY = /[\xa2\xa3\xa5\u20ac]/;
const OPENING = /[\xab\u2018\u201a\u201c\u201e\u2039]/;
const CLOSING = /[\xbb\u201d\u203a]/;
const LETTER = /[\u0152\u0153\u0160\u0161\u0178\u017d\u017e]/;
const CONTROL = /[\x80-\x9f]/;

/**
 * Decodes what can only be UTF-8 read as Latin-1 or Windows-1252.
 *
 * When every character outside ASCII belongs to a well-formed UTF-8 sequence, one convincing
 * sequence is enough to decode all; otherwise only runs of sequences that convince by themselves
 * are decoded, so that correct text around them stays. Text that was broken twice needs
 * a call for each time.
 */
export function fixMojibake(text: string): string {
  const bytes = toBytes(text);
  const runs = [...bytes.matchAll(RUNS)];
  if (runs.length === 0) return text;
  const isConsistent = !/[\x80-\u0100]/.test(bytes.replace(RUNS, ''));
  const convinces = runs.map((run) => isConvincing(text, run, isConsistent));
  const all = isConsistent && convinces.includes(true);
  let out = '';
  let from = 0;
  runs.forEach((run, i) => {
    if (!all && !convinces[i]) return;
    out += text.slice(from, run.index) + Buffer.from(run[0], 'latin1').toString('utf8');
    from = run.index + run[0].length;
  });
  return out + text.slice(from);
}

/** C1 control characters as the Windows-1252 characters that were meant. */
export function fixHighControls(text: string): string {
  return text.replace(/[\x80-\x9f]/g, (c) => HIGH_CONTROLS[c.charCodeAt(0) - 0x80]!);
}

/** One character for each UTF-16 unit: its byte in Latin-1 or Windows-1252, or NO_BYTE. */
function toBytes(text: string): string {
  return text.replace(/[^\0-\xff]/g, (c) => BYTE_OF.get(c) ?? NO_BYTE);
}

function isConvincing(text: string, run: RegExpExecArray, withContext: boolean): boolean {
  const sequences = [...run[0].matchAll(SEQUENCES)];
  return sequences.some((sequence, i) => {
    const start = run.index + sequence.index;
    const end = start + sequence[0].length;
    const s = text.slice(start, end);
    if (CONTROL.test(s) || s.length === 4) return true;
    if (s.length === 3) return threeConvince(s);
    const isFollowed = i + 1 < sequences.length;
    const isInWord = withContext && /[a-z]/.test(text[start - 1] ?? '');
    const isBeforeWord = withContext && /[\p{L}\p{N}]/u.test(text[end] ?? '');
    return twoConvince(s, isFollowed, isInWord, isBeforeWord);
  });
}

/** `pensé…”` is a correct end of a quotation and also well-formed: marks alone prove nothing. */
function threeConvince(s: string): boolean {
  const [, first = '', second = ''] = s;
  if (!isMark(first)) return true;
  if (CLOSING.test(first) && OPENING.test(second)) return true;
  return !isMark(second) && !MONEY.test(second);
}

/** `CAFÉ™`, `Ø½` and `ÅŸ` prove nothing, `Ã¶` and `Å“uvre` do. */
function twoConvince(
  s: string,
  isFollowed: boolean,
  isInWord: boolean,
  isBeforeWord: boolean,
): boolean {
  const [lead = '', tail = ''] = s;
  if (/[ÂÃÎÐ]/.test(lead)) return !/[\u2019\u2026\u0152\u017d]/.test(tail);
  if (PLAIN_MARK.test(tail)) return false;
  if (LETTER.test(tail)) return isFollowed && tail === tail.toLowerCase();
  if (/[×ØßÒ-ÖÙ-Û]/.test(lead)) return isFollowed;
  if (MONEY.test(tail)) return isFollowed || isInWord;
  if (MARK.test(tail)) return tail === '\xb0' || isFollowed || isInWord || isBeforeWord;
  return true;
}

function isMark(char: string): boolean {
  return PLAIN_MARK.test(char) || MARK.test(char);
}
