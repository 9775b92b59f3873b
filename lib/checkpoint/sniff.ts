// The first bytes of a file decide which parser reads it, once and for good; for everything that is
// not a checkpoint they decide what the error says it looks like.
import type { AcdClipError } from '../errors';
import { unsupportedFormat } from './failures';

export type Container = 'zip' | 'safetensors' | 'json';

/** Bytes that sniff() wants; a shorter file is passed whole. */
export const SNIFF_BYTES = 512;

/** The parser for a file that starts with `head`; throws ERR_ACD_CHECKPOINT_FORMAT for other files. */
export function sniff(file: string, head: Buffer): Container {
  if (head.length === 0) throw foreign(file, 'an empty file', DOWNLOAD_AGAIN);
  if (startsWith(head, 'PK\x03\x04')) return 'zip';
  if (isSafetensors(head)) return 'safetensors';
  if (isText(head) && firstCharacter(head) === '{') return 'json';
  throw describeForeign(file, head);
}

const RESAVE =
  'Re-save it with a current PyTorch: torch.save(torch.load(path, weights_only=True), new_path), or convert it to safetensors.';
const DOWNLOAD_AGAIN =
  'A download that failed often leaves such a file: check the address and fetch it again.';

const SIGNATURES: readonly [bytes: string, what: string, help?: string][] = [
  ['PK', 'a zip archive without entries, or with something before them'],
  [
    '\x80\x02\x8a\x0al\xfc\x9cF\xf9 j\xa8P\x19.',
    "torch.save's format of before PyTorch 1.6",
    RESAVE,
  ],
  ['\x80\x02', 'a bare Python pickle', RESAVE],
  ['\x80\x03', 'a bare Python pickle', RESAVE],
  ['\x80\x04', 'a bare Python pickle', RESAVE],
  ['\x80\x05', 'a bare Python pickle', RESAVE],
  ['version https://git-lfs', 'a Git LFS pointer, not the file itself', 'Run git lfs pull.'],
  ['GGUF', 'a GGUF model'],
  ['\x89HDF', 'an HDF5 (Keras) file'],
  ['\x93NUMPY', 'a NumPy array'],
  ['\x1f\x8b', 'a gzip archive', 'Unpack it first.'],
  ['7z\xbc\xaf', 'a 7-Zip archive', 'Unpack it first.'],
  ['\xfd7zXZ', 'an xz archive', 'Unpack it first.'],
  ['\x28\xb5\x2f\xfd', 'a Zstandard archive', 'Unpack it first.'],
  ['\x89PNG', 'a PNG picture'],
  ['\xff\xd8\xff', 'a JPEG picture'],
  ['RIFF', 'a RIFF file (WebP, WAV or AVI)'],
  ['%PDF', 'a PDF document'],
  ['\x7fELF', 'a Linux program or library'],
  ['MZ', 'a Windows program or library'],
];

function describeForeign(file: string, head: Buffer): AcdClipError {
  for (const [bytes, what, help] of SIGNATURES) {
    if (startsWith(head, bytes)) return foreign(file, what, help);
  }
  if (head.subarray(257, 262).toString('latin1') === 'ustar') {
    return foreign(file, 'a tar archive', RESAVE);
  }
  if (!isText(head)) {
    const bytes = head.subarray(0, 8).toString('hex');
    return foreign(file, `an unknown format (first bytes ${bytes})`);
  }
  const text = head.toString('latin1').trimStart().toLowerCase();
  if (text.startsWith('<')) {
    const page = /^<(!doctype html|html|head|body)/.test(text) ? 'an HTML page' : 'an XML document';
    return foreign(file, page, DOWNLOAD_AGAIN);
  }
  return foreign(file, text.startsWith('[') ? 'a JSON list' : 'a text file', DOWNLOAD_AGAIN);
}

function foreign(file: string, what: string, help?: string): AcdClipError {
  return unsupportedFormat(
    file,
    `Expected a checkpoint (.pt, .pth, .bin or .safetensors) but found ${what}`,
    help,
  );
}

// A safetensors file is a 64-bit length and then "{". A length whose eight bytes are all printable
// would be above 2^61, so text with a brace in ninth place is not taken for one.
function isSafetensors(head: Buffer): boolean {
  return head.length > 8 && head[8] === 0x7b && !isAscii(head.subarray(0, 8));
}

function startsWith(head: Buffer, bytes: string): boolean {
  return head.subarray(0, bytes.length).equals(Buffer.from(bytes, 'latin1'));
}

function isAscii(head: Uint8Array): boolean {
  return head.every((b) => (b >= 0x20 && b < 0x7f) || b === 0x09 || b === 0x0a || b === 0x0d);
}

function isText(head: Buffer): boolean {
  if (!isAscii(head.filter((b) => b < 0x80))) return false;
  try {
    // stream: the head may end in the middle of a character.
    new TextDecoder('utf-8', { fatal: true }).decode(head, { stream: true });
    return true;
  } catch {
    return false;
  }
}

function firstCharacter(head: Buffer): string {
  return head
    .toString('latin1')
    .replace(/^\xef\xbb\xbf/, '')
    .trimStart()
    .charAt(0);
}
