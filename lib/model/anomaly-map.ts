// The per-pixel result.
import {
  type DecodeOptions,
  decodeImage,
  type HeatmapOptions,
  heatmapPng,
  type ImageInput,
  type OverlayOptions,
  overlayPng,
} from '../image';

/**
 * Anomaly probability of every pixel, 0..1 on a fixed scale.
 * With `map: 'model'` it is S x S (the model's input size), with `map: 'image'` it has the size of
 * the picture.
 */
export class AnomalyMap {
  /** height * width values, row by row. */
  readonly data: Float32Array;
  readonly width: number;
  readonly height: number;
  readonly #decode: DecodeOptions;

  /** @internal */
  constructor(data: Float32Array, width: number, height: number, decode: DecodeOptions) {
    this.data = data;
    this.width = width;
    this.height = height;
    this.#decode = decode;
  }

  /** The map as a PNG in colours of a fixed scale. Errors: as heatmapPng. */
  toPng(options: HeatmapOptions = {}): Promise<Buffer> {
    return heatmapPng(this, options);
  }

  /**
   * The picture with the map laid over it, as a PNG of the picture's size. Decodes `image` as the
   * detection did. Errors: those of decoding and of the options.
   */
  async overlay(image: ImageInput, options: OverlayOptions = {}): Promise<Buffer> {
    const { signal } = options;
    const picture = await decodeImage(image, { ...this.#decode, ...(signal ? { signal } : {}) });
    return overlayPng(this, picture, options);
  }
}
