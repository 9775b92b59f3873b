// Pictures in, pictures out.
export { type DecodedImage, type DecodeOptions, decodeImage } from './decode';
export type { ImageInput, RawImage } from './input';
export { DEFAULT_IMAGE_LIMITS, type ImageLimits } from './limits';
export { IMAGE_FORMATS, type ImageFormat } from './sniff';
