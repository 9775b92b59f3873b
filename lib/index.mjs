// ESM entry over the CommonJS core: one copy of the package, whichever way it is imported.
import core from '../dist/index.js';

export const {
  AcdClip,
  AcdClipError,
  AnomalyMap,
  ERROR_CODES,
  convertCheckpoint,
  datasets,
  describeCheckpoint,
  getCudaInfo,
  getRuntimeInfo,
  heatmapPng,
  kernels,
  listDevices,
  overlayPng,
  promptsFor,
  readNouns,
  readProfile,
  starterModel,
  tokenize,
} = core;
