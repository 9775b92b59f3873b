// What a checkpoint is once it has been read: a table of where each tensor's bytes lie.
import type { CheckpointDtype } from './dtypes';

export type CheckpointFormat = 'torchscript' | 'torch' | 'safetensors' | 'safetensors-sharded';

/** A file and enough of its identity to notice that it was replaced. */
export interface CheckpointFile {
  /** Absolute. */
  path: string;
  bytes: number;
  mtimeMs: number;
  ino: number;
  dev: number;
}

export interface CheckpointTensor {
  name: string;
  dtype: CheckpointDtype;
  shape: number[];
  /** Index into Checkpoint.files. */
  file: number;
  /** First byte of the first element. */
  offset: number;
  /** Bytes from the first element to the end of the last one. */
  bytes: number;
  /** In elements; absent when row-major. */
  strides?: number[];
}

export type MetadataValue = string | number | boolean;

/**
 * A checkpoint's table of contents. Every offset has been checked against the file's size, every
 * shape against the bytes that are there; the weights themselves have not been read.
 */
export interface Checkpoint {
  /** Absolute path that was asked for. */
  path: string;
  format: CheckpointFormat;
  files: CheckpointFile[];
  /** In the order of the file. */
  tensors: Map<string, CheckpointTensor>;
  metadata: Map<string, MetadataValue>;
}
