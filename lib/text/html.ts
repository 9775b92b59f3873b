// HTML character references, decoded as Python's html.unescape and as ftfy do.
import { decode } from 'he';

const NUMERIC_REFERENCE = /&#(?:[xX]([0-9a-fA-F]+)|([0-9]+));?/g;

/** One pass of Python's `html.unescape`. */
export function unescapeHtml(text: string): string {
  if (!text.includes('&')) return text;
  // `he` keeps the characters that HTML forbids; Python deletes them. The text is cut there rather
  // than shortened first, so that no new reference can arise from the pieces.
  let out = '';
  let from = 0;
  for (const match of text.matchAll(NUMERIC_REFERENCE)) {
    const code = match[1] === undefined ? Number(match[2]) : Number.parseInt(match[1], 16);
    if (!isForbidden(code)) continue;
    out += decode(text.slice(from, match.index));
    from = match.index + match[0].length;
  }
  return out + decode(text.slice(from));
}

/**
 * Only references that end in a semicolon and are decoded whole, plus names written in capitals
 * (`P&EACUTE;REZ`): the cautious decoding that ftfy does before anything else.
 */
export function unescapeWholeReferences(text: string): string {
  return text.replace(/&#?[0-9A-Za-z]{1,24};/g, (reference) => {
    const exact = decodeWhole(reference);
    if (exact !== undefined) return exact;
    const isCapitals = reference === reference.toUpperCase() && decode(reference) === reference;
    return (isCapitals && decodeWhole(reference.toLowerCase())?.toUpperCase()) || reference;
  });
}

function decodeWhole(reference: string): string | undefined {
  if (reference === '&semi;') return ';';
  const text = unescapeHtml(reference);
  // A prefix such as the "not" of "&notit;" leaves the semicolon behind.
  return text === reference || text.endsWith(';') ? undefined : text;
}

/** Code points that html.unescape turns into nothing (U+0080 to U+009F it maps like browsers). */
function isForbidden(code: number): boolean {
  return (
    (code >= 0x01 && code <= 0x08) ||
    code === 0x0b ||
    (code >= 0x0e && code <= 0x1f) ||
    code === 0x7f ||
    (code >= 0xfdd0 && code <= 0xfdef) ||
    (code <= 0x10ffff && (code & 0xfffe) === 0xfffe)
  );
}
