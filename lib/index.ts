// The public API. What is not exported here is not part of it.
export { AcdClip } from './acd-clip';
export {
  type CheckpointDescription,
  type CheckpointFormat,
  type ConvertOptions,
  type ConvertResult,
  convertCheckpoint,
  describeCheckpoint,
} from './checkpoint';
export {
  datasets,
  type GenerateDatasetOptions,
  type GeneratedDataset,
  type GenerateProgress,
} from './datasets';
export { AcdClipError, type AcdClipErrorCode, ERROR_CODES } from './errors';
export {
  type Colormap,
  type HeatmapOptions,
  heatmapPng,
  type ImageInput,
  type ImageLimits,
  type OverlayOptions,
  overlayPng,
  type RawImage,
} from './image';
export { AnomalyMap } from './model/anomaly-map';
export { type Profile, readProfile } from './model/profile';
export { starterModel } from './model/starter';
export type {
  CalibrateOptions,
  Detection,
  DetectOptions,
  Embedding,
  EmbedOptions,
  LoadOptions,
  LoadProgress,
  Logger,
  ModelMemory,
  Precision,
  Region,
  RegionOptions,
  StageTime,
  TextFeatures,
} from './model/types';
export {
  type CudaInfo,
  type Device,
  getCudaInfo,
  getRuntimeInfo,
  kernels,
  listDevices,
  type RuntimeInfo,
} from './runtime';
export { type Domain, type Nouns, type Prompts, promptsFor, readNouns, tokenize } from './text';
