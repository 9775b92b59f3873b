// Pixels of other layouts -> RGB8, as Pillow's convert('RGB') does it.
import { paced } from './pace';

/** Pixels a step: a fraction of a millisecond. */
const BLOCK = 32_768;

/** How interleaved bytes are to be read. Alpha is dropped, never composited. */
export type Layout = 'grey' | 'grey-alpha' | 'rgb' | 'rgba' | 'cmyk';

const CHANNELS = { grey: 1, 'grey-alpha': 2, rgb: 3, rgba: 4, cmyk: 4 } as const;

export const LAYOUT_OF_CHANNELS: Readonly<Record<number, Layout>> = {
  1: 'grey',
  2: 'grey-alpha',
  3: 'rgb',
  4: 'rgba',
};

/** a * b / 255, rounded, for bytes. */
function scaled(a: number, b: number): number {
  const t = a * b + 128;
  return (t + (t >> 8)) >> 8;
}

/** C, M, Y, K with 255 = full ink, to R = (255 - K) - C (255 - K) / 255 and so on. */
function convertCmyk(src: Uint8Array, dst: Uint8Array, from: number, to: number): void {
  for (let i = from; i < to; i++) {
    const white = 255 - src[4 * i + 3]!;
    for (let c = 0; c < 3; c++) dst[3 * i + c] = white - scaled(src[4 * i + c]!, white);
  }
}

function pickChannels(
  src: Uint8Array,
  dst: Uint8Array,
  from: number,
  to: number,
  stride: number,
): void {
  const green = stride >= 3 ? 1 : 0;
  for (let i = from; i < to; i++) {
    const at = i * stride;
    dst[3 * i] = src[at]!;
    dst[3 * i + 1] = src[at + green]!;
    dst[3 * i + 2] = src[at + 2 * green]!;
  }
}

/** `src` itself when it is RGB already, else a new array of pixels * 3 bytes. */
export async function toRgb(
  src: Uint8Array,
  pixels: number,
  layout: Layout,
  signal?: AbortSignal,
): Promise<Uint8Array> {
  if (layout === 'rgb') return src;
  const dst = new Uint8Array(pixels * 3);
  await paced(
    Math.ceil(pixels / BLOCK),
    (block) => {
      const from = block * BLOCK;
      const to = Math.min(from + BLOCK, pixels);
      if (layout === 'cmyk') convertCmyk(src, dst, from, to);
      else pickChannels(src, dst, from, to, CHANNELS[layout]);
    },
    signal,
  );
  return dst;
}
