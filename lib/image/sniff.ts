// Which format encoded bytes are in, by their first bytes only. A decoder sees nothing else.
import { AcdClipError } from '../errors';

/** Formats that are decoded. */
export const IMAGE_FORMATS = ['png', 'jpeg', 'webp', 'tiff', 'gif', 'avif'] as const;
export type ImageFormat = (typeof IMAGE_FORMATS)[number];

const ACCEPTED = 'PNG, JPEG, WebP, TIFF, GIF or AVIF';

function ascii(bytes: Uint8Array, from: number, to: number): string {
  return String.fromCharCode(...bytes.subarray(from, to));
}

/** The major and compatible brands of an ISO media file ("ftyp" box), at most 16 of them. */
function mediaBrands(bytes: Uint8Array): string[] {
  if (ascii(bytes, 4, 8) !== 'ftyp') return [];
  const brands = [];
  for (let at = 8; at + 4 <= Math.min(bytes.length, 72); at += 4) {
    if (at !== 12) brands.push(ascii(bytes, at, at + 4)); // 12..16 is the minor version
  }
  return brands;
}

function accepted(bytes: Uint8Array): ImageFormat | undefined {
  const start = ascii(bytes, 0, 8);
  if (start === '\x89PNG\r\n\x1a\n') return 'png';
  if (start.startsWith('\xff\xd8\xff')) return 'jpeg';
  if (start.startsWith('RIFF') && ascii(bytes, 8, 12) === 'WEBP') return 'webp';
  if (/^(II[*+]\0|MM\0[*+])/.test(start)) return 'tiff';
  if (/^GIF8[79]a/.test(start)) return 'gif';
  // The major brand alone: a file may list avif among its compatible brands and hold HEVC.
  if (['avif', 'avis'].includes(mediaBrands(bytes)[0] ?? '')) return 'avif';
  const brands = mediaBrands(bytes);
  if (['mif1', 'msf1'].includes(brands[0] ?? '') && brands.includes('avif')) return 'avif';
  return undefined;
}

/** A name for what was received instead; only for the message. */
function describe(bytes: Uint8Array): string {
  const start = ascii(bytes, 0, 16);
  if (mediaBrands(bytes).some((b) => /^(hei[cxms]|hev[cx]|mif1|msf1)$/.test(b))) return 'HEIC';
  if (start.startsWith('BM')) return 'BMP';
  if (start.startsWith('%PDF')) return 'PDF';
  if (start.startsWith('%!PS')) return 'PostScript';
  if (start.startsWith('8BPS')) return 'PSD';
  if (start.startsWith('\0\0\0\x0cJXL ') || start.startsWith('\xff\x0a')) return 'JPEG XL';
  if (start.startsWith('\0\0\0\x0cjP  ') || start.startsWith('\xff\x4f\xff\x51'))
    return 'JPEG 2000';
  if (start.startsWith('PK\x03\x04')) return 'a ZIP archive';
  const text = ascii(bytes, 0, Math.min(bytes.length, 512));
  if (/<svg[\s>]/i.test(text)) return 'SVG';
  if (/^\s*</.test(text)) return 'XML or HTML';
  if (/^[\t\n\r\x20-\x7e]+$/.test(text)) return 'plain text';
  return `bytes that start with ${Buffer.from(bytes.subarray(0, 8)).toString('hex')}`;
}

/** Throws ERR_ACD_IMAGE_FORMAT, naming what the bytes look like, unless the format is accepted. */
export function sniffFormat(name: string, bytes: Uint8Array): ImageFormat {
  if (bytes.length === 0) {
    throw new AcdClipError(
      'ERR_ACD_IMAGE_FORMAT',
      `Expected ${ACCEPTED} for ${name} but received 0 bytes`,
    );
  }
  const format = accepted(bytes);
  if (format === undefined) {
    throw new AcdClipError(
      'ERR_ACD_IMAGE_FORMAT',
      `Expected ${ACCEPTED} for ${name} but received ${describe(bytes)}`,
      {
        help: 'Convert the picture to PNG, or pass raw pixels: { data, width, height, channels }.',
      },
    );
  }
  return format;
}
