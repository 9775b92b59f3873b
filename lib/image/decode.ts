// Any accepted picture -> RGB8, with the pixels of Pillow's Image.open(f).convert('RGB').
import { types } from 'node:util';
import sharp, { type Metadata, type Sharp, type SharpOptions } from 'sharp';
import { AcdClipError } from '../errors';
import { checkBoolean, checkInteger, checkOptions, checkSignal, invalid } from '../validate';
import {
  copyBytes,
  type ImageInput,
  isByteArray,
  isRaw,
  isSharp,
  isStream,
  type RawImage,
  readEncoded,
} from './input';
import { checkDimensions, type ImageLimits, resolveLimits } from './limits';
import { sniffFormat } from './sniff';
import { LAYOUT_OF_CHANNELS, type Layout, toRgb } from './to-rgb';

export interface DecodeOptions {
  /** Apply the EXIF (or TIFF) orientation. Default false: pixels as they are stored. */
  autoOrient?: boolean;
  /** Changes to DEFAULT_IMAGE_LIMITS. */
  limits?: Partial<ImageLimits>;
  signal?: AbortSignal;
  /** What messages call the picture. Default 'image'. */
  name?: string;
}

/** An RGB8 picture that is its own raw input: it can be passed wherever a picture is accepted. */
export interface DecodedImage {
  /** height * width * 3 bytes, row by row; a fresh array. */
  data: Uint8Array;
  width: number;
  height: number;
  channels: 3;
  /** 'png', 'jpeg', ... of encoded input; absent for raw pixels. */
  format?: string;
}

interface Context {
  name: string;
  autoOrient: boolean;
  limits: ImageLimits;
  signal?: AbortSignal;
}

/**
 * Decodes a picture to RGB8.
 *
 * | stored as | becomes |
 * | --- | --- |
 * | RGB, palette, 1 to 8-bit grey | RGB; grey is replicated |
 * | with alpha | alpha is dropped, not composited (a GIF's transparent pixels are black) |
 * | 16 bits a channel | the high byte (Pillow clips 16-bit grey at 255 instead) |
 * | CMYK | R = (255 - C) (255 - K) / 255, and so on; no colour profile |
 * | several frames or pages | the first |
 * | with a colour profile | the stored numbers; the profile is ignored |
 * | with an orientation | as stored, unless `autoOrient` (Pillow turns TIFFs, and only those, by itself) |
 * | 32-bit or floating-point samples, Lab | refused |
 *
 * The bytes equal those of Pillow's `Image.open(file).convert('RGB')`, except for what is said
 * above and AVIF, whose decoders differ in how they enlarge the colour planes.
 *
 * Errors: ERR_ACD_INVALID_ARG, ERR_ACD_UNKNOWN_OPTION, ERR_ACD_UNSUPPORTED (http addresses),
 * ERR_ACD_FILE_NOT_FOUND, ERR_ACD_FILE_READ, ERR_ACD_IMAGE_FORMAT (not a picture of an accepted
 * format, truncated, or damaged), ERR_ACD_IMAGE_LIMIT (refused by its header, before its pixels are
 * allocated; for a sharp instance both the input's and the output's size count); the signal's reason.
 */
export async function decodeImage(
  input: ImageInput,
  options: DecodeOptions = {},
): Promise<DecodedImage> {
  const context = checkDecodeOptions(options);
  const { name, limits, signal } = context;
  signal?.throwIfAborted();
  // A sharp instance is a stream too, and a stream may have a property `data`.
  if (isSharp(input)) return decodeSharp(input, context);
  if (isRawInput(input)) return decodeRaw(input, context);
  const bytes = await readEncoded(name, input, limits, signal);
  signal?.throwIfAborted();
  return decodeBytes(bytes, context);
}

function isRawInput(input: ImageInput): input is RawImage {
  return !ArrayBuffer.isView(input) && !isStream(input) && isRaw(input);
}

/**
 * The caller's own RGB8 pixels, checked as decodeImage checks them but not copied: for whoever
 * copies them before the caller's code runs again. Undefined for every other kind of picture.
 */
export function borrowRgb(
  input: ImageInput,
  name: string,
  limits: ImageLimits,
): DecodedImage | undefined {
  if ((input as Partial<RawImage>)?.channels !== 3 || !isRawInput(input) || isSharp(input)) {
    return undefined;
  }
  const { data, width, height } = checkRaw(input, name, limits);
  // Shared memory can change while it is read, and only decodeImage's copy is out of its reach.
  if (!types.isUint8Array(data) || !types.isArrayBuffer(data.buffer)) return undefined;
  return { data, width, height, channels: 3 };
}

function checkDecodeOptions(options: DecodeOptions): Context {
  checkOptions('decodeImage', options, ['autoOrient', 'limits', 'signal', 'name']);
  const { autoOrient = false, signal, name = 'image' } = options;
  return {
    name,
    autoOrient: checkBoolean('autoOrient', autoOrient),
    limits: resolveLimits(options.limits),
    ...(signal === undefined ? {} : { signal: checkSignal('signal', signal) }),
  };
}

function checkRaw(raw: RawImage, name: string, limits: ImageLimits): RawImage {
  const { data } = raw;
  const width = checkInteger(`${name}.width`, raw.width, 1, 2 ** 31 - 1);
  const height = checkInteger(`${name}.height`, raw.height, 1, 2 ** 31 - 1);
  const channels = checkInteger(`${name}.channels`, raw.channels, 1, 4);
  checkDimensions(name, width, height, limits);
  const expected = width * height * channels;
  if (!isByteArray(data)) {
    throw invalid(`${name}.data`, 'Uint8Array or Uint8ClampedArray', data);
  }
  if (data.byteLength !== expected) {
    throw new AcdClipError(
      'ERR_ACD_INVALID_ARG',
      `Expected ${width} x ${height} x ${channels} = ${expected} bytes for ${name}.data but received ${data.byteLength}`,
      data.byteLength === 0 ? { help: 'A buffer that was transferred away has 0 bytes.' } : {},
    );
  }
  return { data, width, height, channels: channels as RawImage['channels'] };
}

async function decodeRaw(raw: RawImage, { name, limits, signal }: Context): Promise<DecodedImage> {
  const { data, width, height, channels } = checkRaw(raw, name, limits);
  const bytes = copyBytes(`${name}.data`, data);
  const rgb = await toRgb(bytes, width * height, LAYOUT_OF_CHANNELS[channels]!, signal);
  return { data: rgb, width, height, channels: 3 };
}

async function decodeBytes(bytes: Uint8Array, context: Context): Promise<DecodedImage> {
  const { name, autoOrient, limits } = context;
  const format = sniffFormat(name, bytes);
  // Reads the header only; the limits are ours, with our sentence.
  const header = await undamaged(
    name,
    format,
    sharp(bytes, { limitInputPixels: false }).metadata(),
  );
  checkDimensions(name, header.width, header.height, limits);
  checkSamples(name, header);
  const options: SharpOptions = {
    autoOrient,
    failOn: 'error',
    ignoreIcc: true,
    limitInputPixels: limits.pixels,
    pages: 1,
  };
  const isCmyk = header.space === 'cmyk';
  let image = sharp(bytes, options);
  // Both calls: else the pixels pass through sRGB and a generic ink profile.
  if (isCmyk) image = image.pipelineColourspace('cmyk').toColourspace('cmyk');
  return { ...(await render(image, context, format, isCmyk ? 'cmyk' : undefined)), format };
}

/** Refuses samples that have no faithful 8-bit form. */
function checkSamples(name: string, { space, depth, channels }: Metadata): void {
  const known =
    (depth === 'uchar' && ['srgb', 'rgb', 'b-w', 'cmyk'].includes(space) && channels <= 4) ||
    (depth === 'ushort' && ['rgb16', 'grey16'].includes(space) && channels <= 4);
  if (!known) {
    throw new AcdClipError(
      'ERR_ACD_IMAGE_FORMAT',
      `Expected 8 or 16-bit grey or RGB, or 8-bit CMYK, for ${name} but received ${channels} channels of ${depth} samples in the colour space ${space}`,
      { help: 'Convert the picture to an 8-bit PNG, or pass raw pixels.' },
    );
  }
}

async function decodeSharp(input: Sharp, context: Context): Promise<DecodedImage> {
  const { name, limits, autoOrient } = context;
  const image = autoOrient ? input.clone().autoOrient() : input.clone();
  const header = await undamaged(name, 'sharp instance', input.clone().metadata());
  checkDimensions(name, header.width, header.height, limits);
  const decoded = await render(image.toColourspace('srgb'), context, 'sharp instance');
  return header.format === undefined ? decoded : { ...decoded, format: header.format };
}

async function render(
  image: Sharp,
  { name, limits, signal }: Context,
  kind: string,
  layout?: Layout,
): Promise<DecodedImage> {
  const raw = image.raw({ depth: 'uchar' }).toBuffer({ resolveWithObject: true });
  const { data, info } = await undamaged(name, kind, raw);
  signal?.throwIfAborted();
  const { width, height, channels } = info;
  checkDimensions(name, width, height, limits);
  const bytes = new Uint8Array(data.buffer, data.byteOffset, data.byteLength);
  const found = layout ?? LAYOUT_OF_CHANNELS[channels];
  if (found === undefined || bytes.length !== width * height * channels) {
    throw new AcdClipError(
      'ERR_ACD_IMAGE_FORMAT',
      `Expected 1 to 4 channels for ${name} but received ${channels}`,
    );
  }
  return {
    data: await toRgb(bytes, width * height, found, signal),
    width,
    height,
    channels: 3,
  };
}

async function undamaged<T>(name: string, kind: string, work: Promise<T>): Promise<T> {
  try {
    return await work;
  } catch (cause) {
    const reason = (cause instanceof Error ? cause.message : String(cause)).split('\n', 1)[0];
    throw new AcdClipError(
      'ERR_ACD_IMAGE_FORMAT',
      `Expected a complete, undamaged picture for ${name} but decoding the ${kind} failed: ${reason}`,
      { cause },
    );
  }
}
