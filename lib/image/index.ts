// Pictures in, pictures out.
export { COLORMAPS, type Colormap } from './colormap';
export { borrowRgb, type DecodedImage, type DecodeOptions, decodeImage } from './decode';
export type { Box } from './draw';
export type { ImageInput, RawImage } from './input';
export { DEFAULT_IMAGE_LIMITS, type ImageLimits } from './limits';
export { type HeatmapOptions, heatmapPng, type OverlayOptions, overlayPng } from './render';
export type { ScoreMap } from './sample-map';
export { IMAGE_FORMATS, type ImageFormat } from './sniff';
