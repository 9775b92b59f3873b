export { type Adapter, type AdapterSizes, adapterShapes, inferAdapter } from './adapter';
export type { WriteOptions } from './atomic-file';
export { type Backbone, type BackboneSizes, backboneShapes, inferBackbone } from './backbone';
export type {
  Checkpoint,
  CheckpointFile,
  CheckpointFormat,
  CheckpointTensor,
  MetadataValue,
} from './checkpoint';
export { type ConvertOptions, type ConvertResult, convertCheckpoint, writable } from './convert';
export { type CheckpointDescription, describeCheckpoint } from './describe';
export type { CheckpointDtype } from './dtypes';
export { METADATA_KEYS } from './hyperparameters';
export { LIMITS } from './limits';
export type { TorchDict, TorchValue } from './pickle-writer';
export { type ModelPlan, type PlanOptions, planModel } from './plan';
export type { PlanOverrides } from './plan-overrides';
export { type ReadCheckpointOptions, readCheckpoint } from './read';
export type { FileRange, WritableTensor } from './tensor-bytes';
export { writeSafetensors } from './write-safetensors';
export { writeTorch } from './write-torch';
