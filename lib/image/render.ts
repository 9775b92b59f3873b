// Score maps -> PNG: as a heat-map, or over the picture that they belong to.
import sharp from 'sharp';
import { AcdClipError } from '../errors';
import {
  checkBoolean,
  checkInteger,
  checkNumber,
  checkOneOf,
  checkOptions,
  checkSignal,
  invalid,
} from '../validate';
import { COLORMAPS, type Colormap, colormapTable } from './colormap';
import {
  type Box,
  blend,
  type Canvas,
  DARK,
  drawBox,
  drawLegend,
  lineWidth,
  RIM_OPACITY,
  WHITE,
} from './draw';
import { isByteArray } from './input';
import { checkDimensions, DEFAULT_IMAGE_LIMITS } from './limits';
import { paced } from './pace';
import { rowSampler, type ScoreMap } from './sample-map';

export interface HeatmapOptions {
  /** Default 'inferno'. */
  colormap?: Colormap;
  /** Size of the PNG in pixels. One alone keeps the map's shape; neither: the map's own size. */
  width?: number;
  height?: number;
  signal?: AbortSignal;
}

export interface OverlayOptions {
  /** Opacity of the colours where the score is high, 0..1. Default 0.5. */
  alpha?: number;
  /** Default 'inferno'. */
  colormap?: Colormap;
  /** Draw the line where the score crosses this threshold, 0..1. Default: no line. */
  contour?: number;
  /** Boxes to frame, in pixels of the image. */
  regions?: readonly Box[];
  /** Draw a scale bar from 0 to 1 in the lower right corner. Default false. */
  legend?: boolean;
  signal?: AbortSignal;
}

// Bound once: inside a vm context (Jest) every look-up of a global costs more than the arithmetic.
const { abs, max, min, sqrt } = Math;

/** Steps of the colour tables: finer than 8 bits, so that blending shows no bands. */
const LEVELS = 1024;
const NOT_A_NUMBER = LEVELS; // one more entry, for NaN
const GREY = 128;

/** Scores at or above this get the full opacity of an overlay. */
const OPAQUE_SCORE = 0.5;

/**
 * Draws a score map as a PNG of its own.
 *
 * The scale is fixed: 0 is the first colour and 1 the last, whatever the map holds, so that pictures
 * can be compared; values outside are clamped and NaN is grey. Another size is bilinear.
 * `map` must not change until the promise settles. Errors: ERR_ACD_INVALID_ARG,
 * ERR_ACD_UNKNOWN_OPTION, ERR_ACD_IMAGE_LIMIT (the default limits hold for the PNG), the signal's
 * reason.
 */
export async function heatmapPng(map: ScoreMap, options: HeatmapOptions = {}): Promise<Buffer> {
  checkOptions('heatmapPng', options, ['colormap', 'width', 'height', 'signal']);
  checkMap(map);
  const colormap = checkOneOf('colormap', options.colormap ?? 'inferno', COLORMAPS);
  const { width, height } = heatmapSize(map, options);
  const signal = startSignal(options.signal);
  const canvas = { data: new Uint8Array(width * height * 3), width, height };
  const colors = blendTable(colormap, () => 1);
  const scores = rowSampler(map, width, height);
  await paced(height, (y) => blendRow(canvas, undefined, scores(y), y, colors), signal);
  return encodePng(canvas);
}

/**
 * Draws a score map over its picture, as a PNG of the picture's size.
 *
 * A pixel of score s becomes (1 - a) image + a colour(s), where a = alpha * m * m * (3 - 2 m) and
 * m = min(s / 0.5, 1): normal areas (s near 0) keep their look, and from 0.5 on the colours have the
 * opacity `alpha`. The scale is fixed at 0..1; values outside are clamped; where the map is NaN the
 * picture shows as it is. The map is enlarged bilinearly. Contour and boxes are white lines of 1 to
 * 3 px (by the picture's longer side) with dark rims; boxes are framed from outside.
 * `map` and `image` must not change until the promise settles. Errors: as {@link heatmapPng}.
 */
export async function overlayPng(
  map: ScoreMap,
  image: Canvas,
  options: OverlayOptions = {},
): Promise<Buffer> {
  const known = ['alpha', 'colormap', 'contour', 'regions', 'legend', 'signal'];
  checkOptions('overlayPng', options, known);
  checkMap(map);
  checkRgb(image);
  const colormap = checkOneOf('colormap', options.colormap ?? 'inferno', COLORMAPS);
  const alpha = checkNumber('alpha', options.alpha ?? 0.5, 0, 1);
  const { contour } = options;
  if (contour !== undefined) checkNumber('contour', contour, 0, 1);
  const boxes = checkBoxes(options.regions ?? []);
  const legend = checkBoolean('legend', options.legend ?? false);
  const signal = startSignal(options.signal);

  const { width, height } = image;
  const canvas = { data: new Uint8Array(width * height * 3), width, height };
  const colors = blendTable(colormap, (score) => alpha * easeIn(score));
  const scores = rowSampler(map, width, height);
  const last = height - 1;
  const drawRow = (y: number) => {
    blendRow(canvas, image.data, scores(y), y, colors);
    if (contour === undefined) return;
    const around = [scores(Math.max(y - 1, 0)), scores(y), scores(Math.min(y + 1, last))] as const;
    contourRow(canvas, around, y, contour);
  };
  await paced(height, drawRow, signal);
  await paced(boxes.length, (i) => drawBox(canvas, boxes[i]!), signal);
  if (legend) drawLegend(canvas, colormapTable(colormap));
  return encodePng(canvas);
}

function easeIn(score: number): number {
  const m = Math.min(score / OPAQUE_SCORE, 1);
  return m * m * (3 - 2 * m);
}

/** Per level: how much of the picture stays, then the r, g, b that is added to it. */
function blendTable(colormap: Colormap, opacity: (score: number) => number): Float32Array {
  const table = colormapTable(colormap);
  const levels = new Float32Array(4 * (LEVELS + 1));
  for (let level = 0; level < LEVELS; level++) {
    const score = level / (LEVELS - 1);
    const a = opacity(score);
    const at = Math.min(Math.floor(score * 255), 254);
    const t = score * 255 - at;
    levels[4 * level] = 1 - a;
    for (let c = 0; c < 3; c++) {
      const color = table[3 * at + c]! * (1 - t) + table[3 * at + 3 + c]! * t;
      levels[4 * level + 1 + c] = a * color + 0.5; // + 0.5: bytes round down
    }
  }
  const a = opacity(0);
  levels.set([1 - a, a * GREY + 0.5, a * GREY + 0.5, a * GREY + 0.5], 4 * NOT_A_NUMBER);
  return levels;
}

/** The entry of a score in a blend table; also right for NaN and infinities. */
function levelOf(score: number): number {
  if (score >= 1) return LEVELS - 1;
  if (score >= 0) return (score * (LEVELS - 1) + 0.5) | 0;
  return score < 0 ? 0 : NOT_A_NUMBER;
}

function blendRow(
  canvas: Canvas,
  under: Uint8Array | undefined,
  scores: Float32Array,
  y: number,
  colors: Float32Array,
): void {
  const { data, width } = canvas;
  const end = (y + 1) * width * 3;
  for (let at = y * width * 3, x = 0; at < end; at += 3, x++) {
    const level = 4 * levelOf(scores[x]!);
    if (under === undefined) {
      data[at] = colors[level + 1]!;
      data[at + 1] = colors[level + 2]!;
      data[at + 2] = colors[level + 3]!;
    } else {
      const keep = colors[level]!;
      data[at] = under[at]! * keep + colors[level + 1]!;
      data[at + 1] = under[at + 1]! * keep + colors[level + 2]!;
      data[at + 2] = under[at + 2]! * keep + colors[level + 3]!;
    }
  }
}

/**
 * The line where the score crosses the threshold. A pixel's distance from it is estimated as
 * |score - threshold| / slope, which keeps the line's width the same however steep the map is.
 */
function contourRow(
  canvas: Canvas,
  [above, here, below]: readonly [Float32Array, Float32Array, Float32Array],
  y: number,
  threshold: number,
): void {
  const { data, width } = canvas;
  // A quarter more on each side: a line between two pixels would else be two half-tones.
  const half = lineWidth(width, canvas.height) / 2 + 0.25;
  for (let x = 0; x < width; x++) {
    const s = here[x]!;
    const dx = steepest(s, here[max(x - 1, 0)]!, here[min(x + 1, width - 1)]!);
    const dy = steepest(s, above[x]!, below[x]!);
    const slope = sqrt(dx * dx + dy * dy);
    // A plateau has no line; comparisons with NaN are false.
    if (!(slope > 1e-6)) continue;
    const distance = abs(s - threshold) / slope;
    const rim = half + 1.5 - distance;
    if (!(rim > 0)) continue;
    blend(data, y * width + x, DARK, RIM_OPACITY * min(rim, 1));
    const line = half + 0.5 - distance;
    if (line > 0) blend(data, y * width + x, WHITE, min(line, 1));
  }
}

/** The larger of the differences to both neighbours: right also at a sharp edge. */
function steepest(value: number, before: number, after: number): number {
  return max(abs(value - before), abs(value - after));
}

function encodePng({ data, width, height }: Canvas): Promise<Buffer> {
  const raw = { width, height, channels: 3 as const };
  return sharp(data, { raw, limitInputPixels: false }).png({ compressionLevel: 6 }).toBuffer();
}

function startSignal(signal: AbortSignal | undefined): AbortSignal | undefined {
  if (signal === undefined) return undefined;
  checkSignal('signal', signal).throwIfAborted();
  return signal;
}

function heatmapSize(map: ScoreMap, options: HeatmapOptions): { width: number; height: number } {
  const { side } = DEFAULT_IMAGE_LIMITS;
  const asked = (key: 'width' | 'height') =>
    options[key] === undefined ? undefined : checkInteger(key, options[key], 1, side);
  const wide = asked('width');
  const high = asked('height');
  const scaled = (known: number | undefined, of: number, other: number) =>
    known === undefined ? other : Math.max(1, Math.round((known / of) * other));
  const width = wide ?? scaled(high, map.height, map.width);
  const height = high ?? scaled(wide, map.width, map.height);
  checkDimensions('heatmap', width, height, DEFAULT_IMAGE_LIMITS);
  return { width, height };
}

function checkMap(map: unknown): void {
  const { data, width, height } = (map ?? {}) as ScoreMap;
  if (Object.prototype.toString.call(data) !== '[object Float32Array]') {
    throw invalid('map', '{ data: Float32Array, width, height }', map);
  }
  checkExtent('map', width, height, data.length, 1);
}

function checkRgb(image: unknown): void {
  const { data, width, height } = (image ?? {}) as Canvas;
  if (!isByteArray(data)) throw invalid('image', '{ data: Uint8Array, width, height }', image);
  checkExtent('image', width, height, data.length, 3);
}

function checkExtent(
  name: string,
  width: unknown,
  height: unknown,
  length: number,
  channels: number,
): void {
  const w = checkInteger(`${name}.width`, width, 1, 2 ** 31 - 1);
  const h = checkInteger(`${name}.height`, height, 1, 2 ** 31 - 1);
  checkDimensions(name, w, h, DEFAULT_IMAGE_LIMITS);
  if (length !== w * h * channels) {
    throw new AcdClipError(
      'ERR_ACD_INVALID_ARG',
      `Expected ${w} x ${h} x ${channels} = ${w * h * channels} values for ${name}.data but received ${length}`,
    );
  }
}

function checkBoxes(boxes: unknown): readonly Box[] {
  if (!Array.isArray(boxes)) throw invalid('regions', 'array of boxes', boxes);
  boxes.forEach((box, i) => {
    if (typeof box !== 'object' || box === null) throw invalid(`regions[${i}]`, 'box', box);
    for (const key of ['x', 'y', 'width', 'height'] as const) {
      checkNumber(`regions[${i}].${key}`, box[key], key === 'x' || key === 'y' ? -1e6 : 0, 1e6);
    }
  });
  return boxes;
}
