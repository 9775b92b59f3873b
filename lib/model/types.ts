// What users pass to and get from a model.
import type { ImageLimits } from '../image';
import type { Domain, Nouns, Prompts } from '../text';
import type { AnomalyMap } from './anomaly-map';
import type { Profile } from './profile';

/** Number formats that a device may compute in; listDevices() says which it does. */
export type Precision = 'fp32' | 'bf16' | 'fp16' | 'int8' | 'fp8';

export interface LoadProgress {
  phase: 'load';
  /** Bytes of weights, so far and in all. */
  loaded: number;
  total: number;
}

export type Logger = (level: 'info' | 'warn', message: string) => void;

/** Without backbone, adapter and bundle the starter model that comes with the package is loaded. */
export interface LoadOptions {
  /** A CLIP ViT checkpoint: OpenAI .pt, open_clip or Hugging Face state dict, safetensors. */
  backbone?: string;
  /** An ACD-CLIP adapter checkpoint, .pth or safetensors. */
  adapter?: string;
  /** One safetensors file that holds both. */
  bundle?: string;
  /**
   * 'auto' takes the first GPU of a kind that has been checked (compute capability 9.0 so far), where it has
   * the precision and the model fits, else the CPU, and says why in deviceReason; a named device is
   * strict. Default 'auto'.
   */
  device?: string;
  /**
   * Most memory of the GPU that this process takes, bytes: weights and work of all its models there.
   * What does not fit fails with ERR_ACD_OUT_OF_MEMORY, which says what was asked and what is free;
   * batches that do not fit become smaller before that. All models on one GPU have one budget: the
   * first one's. Default: all that is free. The CPU has none.
   */
  memoryBudget?: number;
  /**
   * Number format of the products in both towers; the residual stream, the sums of a LayerNorm and
   * the adapter are fp32 always. 'auto' takes bf16 where the device multiplies it by itself, else
   * fp32, and says why in precisionReason; a named one is strict. 'fp16' is CUDA's alone, and refuses
   * a checkpoint whose numbers could pass 65504. 'int8' (CPU) and 'fp8' (CUDA from sm_89 on) are never
   * chosen by themselves: there the picture's tower multiplies 8-bit numbers, what is left of both
   * towers is in bf16 or fp32, and maps move by some thousandths. Default 'auto'.
   */
  precision?: 'auto' | Precision;
  /** Threads of one computation; default: all that affinity and cgroup allow. */
  threads?: number;
  /** Side of the model's input in pixels, a multiple of the patch. Default 518 for a ViT-L/14. */
  imageSize?: number;
  /** OpenAI's QuickGELU instead of the exact GELU that published adapters were trained with. */
  quickGelu?: boolean;
  /** Scales of the LoRA parts. Default: what the file stores (ours do, a published .pth does not), else 2. */
  loraAlpha?: number;
  convLoraAlpha?: number;
  /** Default: stored, else loraAlpha. */
  textLoraAlpha?: number;
  /** 1-based layers that end each group, where the groups do not divide the layers. */
  visionLevels?: number[];
  textLevels?: number[];
  /** Most calls that may wait at once, 1..4096. Default 64. */
  queueLimit?: number;
  /** Changes to the limits on pictures (64 Mpx, 64 MiB encoded, side 32,767). */
  imageLimits?: Partial<ImageLimits>;
  onProgress?: (progress: LoadProgress) => void;
  signal?: AbortSignal;
  logger?: Logger;
}

/** Prompt features of one class: give them to detect() to skip the text tower. */
export interface TextFeatures {
  /** [groups, width, 2]; column 0 normal, 1 abnormal. */
  data: Float32Array;
  groups: number;
  width: number;
  /** Which model made them. */
  modelId: string;
}

export interface DetectOptions {
  /** What the picture shows, for example 'metal nut'. One of className, prompts, textFeatures. */
  className?: string;
  /** Own sentences for the intact and the damaged object. */
  prompts?: Prompts;
  textFeatures?: TextFeatures;
  /** Use the published nouns and domain of this dataset for className, for example 'MVTec'. */
  dataset?: string;
  /** Own nouns by class name; they come before the dataset's. */
  nouns?: Nouns;
  /** Blur and score weights. Default 'industrial', or the dataset's or profile's domain. */
  domain?: Domain;
  /** Image scores at or above it are anomalous. Without it, or a profile, isAnomalous is absent. */
  threshold?: number;
  /**
   * From calibrate(): prompts, domain and thresholds. Prompts or domain given beside it replace its
   * own and then need a threshold too.
   */
  profile?: Profile;
  /** Size of the returned map: none, the model's input, or the picture. Default 'model'. */
  map?: 'none' | 'model' | 'image';
  /** Connected pixels of the map at or above a threshold; `true` takes the profile's. */
  regions?: boolean | RegionOptions;
  /** Apply the picture's EXIF orientation first. Default false, as the published code. */
  autoOrient?: boolean;
  /** Also say in timing.stages where the time of the computation went. Default false. */
  stages?: boolean;
  signal?: AbortSignal;
}

export interface RegionOptions {
  /** 0..1. Default: the profile's mapThreshold. */
  threshold?: number;
  /** Smallest region, in pixels of the picture. Default 1. */
  minArea?: number;
}

export interface Region {
  /** Pixels of the picture. */
  box: { x: number; y: number; width: number; height: number };
  /** Pixels of the picture. */
  area: number;
  /** Greatest map value inside. */
  score: number;
  /** Mean map value inside. */
  mean: number;
  centroid: { x: number; y: number };
  /** Outer outline, pixel corners of the picture, clockwise. */
  polygon: [number, number][];
}

export interface Detection {
  /** 0..1: (1 - w) * cls + w * mapMax with w = 0.1 industrial, 0.5 medical. */
  score: number;
  parts: { cls: number; mapMax: number };
  /** Only when a threshold or profile was given. */
  isAnomalous?: boolean;
  map?: AnomalyMap;
  regions?: Region[];
  image: { width: number; height: number; format?: string };
  timing: {
    decodeMs: number;
    queueMs: number;
    preprocessMs: number;
    computeMs: number;
    postprocessMs: number;
    /** The computation's operations, when asked for: a part of computeMs. */
    stages?: StageTime[];
  };
}

/** Calls of one native operation with the same extents. Several pictures computed together share them. */
export interface StageTime {
  /** As in {@link kernels} and native/ops, for example 'linear'. */
  op: string;
  /** linear: rows, columns read and written; attention: tokens, heads, pictures; others 0. */
  rows: number;
  from: number;
  to: number;
  calls: number;
  /** Milliseconds of all calls together. */
  ms: number;
}

export interface Embedding {
  /** [groups, width]: mean over patches of the normalised detection vectors. */
  features: Float32Array;
  groups: number;
  width: number;
  /** [groups, grid * grid, width]: normalised segmentation vectors; only when asked for. */
  patches?: Float32Array;
  grid: number;
}

export interface EmbedOptions {
  patches?: boolean;
  autoOrient?: boolean;
  signal?: AbortSignal;
}

export interface CalibrateOptions
  extends Pick<
    DetectOptions,
    'className' | 'prompts' | 'dataset' | 'nouns' | 'domain' | 'autoOrient' | 'signal'
  > {
  /** Fraction of good pictures that may be flagged, 0..0.5. Default 0.01. */
  fpr?: number;
  onProgress?: (progress: { done: number }) => void;
}

export interface ModelMemory {
  /** Weights, shared by every model of the process that was loaded from the same files. */
  weightsBytes: number;
  /** Activations, kept between calls. */
  arenaBytes: number;
  /** Most native bytes that this process ever held. */
  peakBytes: number;
}
