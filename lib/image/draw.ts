// Lines, boxes and the scale bar on an RGB8 picture.

// Bound once: inside a vm context (Jest) every look-up of a global costs more than the arithmetic.
const { max, min, round } = Math;

/** A picture that is drawn on: height * width * 3 bytes. */
export interface Canvas {
  data: Uint8Array;
  width: number;
  height: number;
}

/** Pixels: the corner at x, y belongs to the box. */
export interface Box {
  x: number;
  y: number;
  width: number;
  height: number;
}

export type Rgb = readonly [number, number, number];
export const WHITE: Rgb = [255, 255, 255];
export const DARK: Rgb = [0, 0, 0];
/** Dark rims keep white lines readable on white metal. */
export const RIM_OPACITY = 0.55;

/** 1 to 3 px, by the longer side. */
export function lineWidth(width: number, height: number): number {
  return Math.min(3, Math.max(1, Math.round(Math.max(width, height) / 700)));
}

/** Mixes `opacity` of a colour into the pixel at index `pixel`. */
export function blend(data: Uint8Array, pixel: number, [r, g, b]: Rgb, opacity: number): void {
  const at = 3 * pixel;
  data[at] = round(data[at]! + (r - data[at]!) * opacity);
  data[at + 1] = round(data[at + 1]! + (g - data[at + 1]!) * opacity);
  data[at + 2] = round(data[at + 2]! + (b - data[at + 2]!) * opacity);
}

/** Fills x0 <= x < x1, y0 <= y < y1 as far as it lies on the canvas. */
export function fill(
  canvas: Canvas,
  x0: number,
  y0: number,
  x1: number,
  y1: number,
  color: Rgb,
  opacity = 1,
): void {
  for (let y = max(0, y0); y < min(canvas.height, y1); y++) {
    for (let x = max(0, x0); x < min(canvas.width, x1); x++) {
      blend(canvas.data, y * canvas.width + x, color, opacity);
    }
  }
}

/** A frame of `thickness` px whose inner edge is the box grown by `gap` px. */
function frame(
  canvas: Canvas,
  box: Box,
  gap: number,
  thickness: number,
  color: Rgb,
  opacity: number,
): void {
  const x0 = Math.floor(box.x) - gap;
  const y0 = Math.floor(box.y) - gap;
  const x1 = Math.ceil(box.x + box.width) + gap;
  const y1 = Math.ceil(box.y + box.height) + gap;
  const t = thickness;
  fill(canvas, x0 - t, y0 - t, x1 + t, y0, color, opacity);
  fill(canvas, x0 - t, y1, x1 + t, y1 + t, color, opacity);
  fill(canvas, x0 - t, y0, x0, y1, color, opacity);
  fill(canvas, x1, y0, x1 + t, y1, color, opacity);
}

/** A white frame around (outside) the box, with dark rims. */
export function drawBox(canvas: Canvas, box: Box): void {
  const line = lineWidth(canvas.width, canvas.height);
  frame(canvas, box, 0, 1, DARK, RIM_OPACITY);
  frame(canvas, box, 1, line, WHITE, 1);
  frame(canvas, box, 1 + line, 1, DARK, RIM_OPACITY);
}

/** 3 x 5 pixel glyphs, one row a number, the left pixel in bit 2. */
const GLYPHS: Record<string, readonly number[]> = {
  '0': [7, 5, 5, 5, 7],
  '1': [2, 6, 2, 2, 7],
  '5': [7, 4, 7, 1, 7],
  '.': [0, 0, 0, 0, 2],
};

function drawText(canvas: Canvas, text: string, x: number, y: number, dot: number): void {
  [...text].forEach((char, i) => {
    GLYPHS[char]!.forEach((bits, row) => {
      for (let col = 0; col < 3; col++) {
        if (!(bits & (4 >> col))) continue;
        const left = x + (i * 4 + col) * dot;
        fill(canvas, left, y + row * dot, left + dot, y + (row + 1) * dot, WHITE);
      }
    });
  });
}

/** The scale bar in the lower right corner: 1 at the top, 0 at the bottom, on a dark panel. */
export function drawLegend(canvas: Canvas, table: readonly number[]): void {
  const dot = Math.max(1, Math.round(Math.min(canvas.width, canvas.height) / 300));
  const bar = { width: 6 * dot, height: 64 * dot };
  const panel = { width: bar.width + 20 * dot, height: bar.height + 8 * dot };
  const left = canvas.width - panel.width - 4 * dot;
  const top = canvas.height - panel.height - 4 * dot;
  fill(canvas, left, top, left + panel.width, top + panel.height, DARK, 0.6);
  const x = left + 4 * dot;
  const y = top + 4 * dot;
  for (let row = 0; row < bar.height; row++) {
    const level = Math.round(255 * (1 - row / (bar.height - 1)));
    const color = [table[3 * level]!, table[3 * level + 1]!, table[3 * level + 2]!] as const;
    fill(canvas, x, y + row, x + bar.width, y + row + 1, color);
  }
  for (const [text, at] of [
    ['1', 0],
    ['0.5', 0.5],
    ['0', 1],
  ] as const) {
    drawText(
      canvas,
      text,
      x + bar.width + 2 * dot,
      Math.round(y + at * (bar.height - 5 * dot)),
      dot,
    );
  }
}
