// How large a picture may be. Checked against headers and lengths before anything is allocated.
import { AcdClipError } from '../errors';
import { checkInteger, checkOptions } from '../validate';

export interface ImageLimits {
  /** Most bytes of an encoded picture (file, buffer or stream). */
  encodedBytes: number;
  /** Most pixels, width times height. */
  pixels: number;
  /** Longest side, pixels. */
  side: number;
}

export const DEFAULT_IMAGE_LIMITS: Readonly<ImageLimits> = Object.freeze({
  encodedBytes: 64 * 1024 * 1024,
  pixels: 64_000_000,
  side: 32_767,
});

/** What the options may raise the limits to: counts of bytes then still fit exact integers. */
const CEILING: Readonly<ImageLimits> = {
  encodedBytes: 2 ** 31 - 1,
  pixels: 2 ** 29,
  side: 2 ** 20,
};

/** The defaults with the caller's changes. Throws ERR_ACD_INVALID_ARG or ERR_ACD_UNKNOWN_OPTION. */
export function resolveLimits(limits: Partial<ImageLimits> | undefined): ImageLimits {
  checkOptions('imageLimits', limits, Object.keys(DEFAULT_IMAGE_LIMITS));
  const resolved = { ...DEFAULT_IMAGE_LIMITS };
  for (const key of ['encodedBytes', 'pixels', 'side'] as const) {
    const value = limits?.[key];
    if (value !== undefined) {
      resolved[key] = checkInteger(`imageLimits.${key}`, value, 1, CEILING[key]);
    }
  }
  return resolved;
}

export function checkEncodedBytes(name: string, bytes: number, limits: ImageLimits): void {
  if (bytes > limits.encodedBytes) {
    throw new AcdClipError(
      'ERR_ACD_IMAGE_LIMIT',
      `Expected at most ${limits.encodedBytes} encoded bytes for ${name} but received ${bytes} or more`,
      { help: 'Raise imageLimits.encodedBytes if the picture is meant to be this large.' },
    );
  }
}

export function checkDimensions(
  name: string,
  width: number,
  height: number,
  limits: ImageLimits,
): void {
  const tooLong = width > limits.side || height > limits.side;
  if (!tooLong && width * height <= limits.pixels) return;
  const size = `${width} x ${height} (${width * height} pixels)`;
  if (tooLong) {
    throw new AcdClipError(
      'ERR_ACD_IMAGE_LIMIT',
      `Expected sides of at most ${limits.side} pixels for ${name} but received ${size}`,
      { help: 'Scale the picture down, or raise imageLimits.side.' },
    );
  }
  throw new AcdClipError(
    'ERR_ACD_IMAGE_LIMIT',
    `Expected at most ${limits.pixels} pixels for ${name} but received ${size}`,
    { help: 'Scale the picture down, or raise imageLimits.pixels.' },
  );
}
