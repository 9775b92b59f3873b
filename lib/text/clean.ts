// What CLIP's tokeniser does to a sentence before byte-pair encoding.
import { AcdClipError } from '../errors';
import { invalid, show } from '../validate';
import { fixText } from './fix-text';
import { unescapeHtml } from './html';

/** No prompt of 77 tokens comes near it; what is longer is refused before any work is done. */
export const MAX_TEXT_LENGTH = 10_000;

// Python's str.isspace(): unlike \s it has the information separators and U+0085, not U+FEFF.
// biome-ignore lint/suspicious/noControlCharactersInRegex: they separate words in Python
const WHITESPACE = /[\t-\r\x1c-\x20\x85\xa0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000]+/;

/**
 * The text as the byte-pair encoder sees it: repaired ({@link fixText} says what of ftfy is and is
 * not covered), HTML references decoded twice, every run of white space one space, none at the
 * ends, lower case. Source: `_clean_lower` of open_clip's tokenizer.
 *
 * Lower-casing is JavaScript's, which equals Python's (final sigma, dotted I) for every character
 * of Unicode 14; characters with case that are newer follow the running Node.js.
 *
 * @throws AcdClipError ERR_ACD_INVALID_ARG not a string; ERR_ACD_PROMPT_TOO_LONG more than
 *   MAX_TEXT_LENGTH UTF-16 units
 */
export function clean(text: string): string {
  if (typeof text !== 'string') throw invalid('text', 'string', text);
  if (text.length > MAX_TEXT_LENGTH) {
    throw new AcdClipError(
      'ERR_ACD_PROMPT_TOO_LONG',
      `Expected at most ${MAX_TEXT_LENGTH} characters of text but received ${show(text)} of ${text.length}`,
    );
  }
  const words = unescapeHtml(unescapeHtml(fixText(text))).split(WHITESPACE);
  return words.filter(Boolean).join(' ').toLowerCase();
}
