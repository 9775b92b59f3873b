// The hand-written contract of the native addon (acd_clip.node). lib/binding is the only importer.
// Letters: S image side, p patch side, g = S / p, N = g * g, D vision width, W text width,
// E joint width, G groups, H adapter hidden width, P prompts, L tokens. All arrays row-major.
//
// Calls that take long return promises settled from the addon's own threads; none uses libuv's pool.
// Arguments are copied before a call returns; results are fresh arrays that nobody else holds.
// Failures are plain Errors with `code` (ERR_ACD_..., see lib/errors.ts) and a message.

/** Where a tensor's bytes lie. Checked against the file's size in TypeScript and again when read. */
export interface TensorPart {
  /** Index into ModelSpec.files. */
  file: number;
  /** First byte of the tensor's first element. */
  offset: number;
  dtype: 'f32' | 'f16' | 'bf16' | 'f64';
  shape: number[];
  /** In elements; absent when contiguous. */
  strides?: number[];
}

/** One tensor under its canonical (OpenAI / ACD-CLIP) name; `parts` are stacked along axis 0. */
export interface TensorSource {
  name: string;
  shape: number[];
  parts: TensorPart[];
}

/** Number format of the towers' products; the residual stream is fp32 in every one. */
export type NativePrecision = 'fp32' | 'bf16' | 'fp16' | 'int8' | 'fp8';

/** Everything read off the checkpoint, plus the options that shape the computation. */
export interface ModelConfig {
  imageSize: number; // S
  patchSize: number; // p
  pretrainGrid: number; // side of the stored positional grid
  visionWidth: number; // D
  visionLayers: number;
  visionHeads: number;
  textWidth: number; // W
  textLayers: number;
  textHeads: number;
  vocabSize: number;
  contextLength: number;
  embedDim: number; // E, width of the adapter heads; must equal W
  groups: number; // G
  visionLevels: number[]; // 1-based layers after which a group ends, ascending, G of them
  textLevels: number[];
  loraRank: number;
  loraAlpha: number;
  textLoraRank: number;
  textLoraAlpha: number;
  convLoraRank: number;
  convLoraAlpha: number;
  convGroups: number; // 1 dense; loraRank = convLoraRank = convGroups is depthwise
  kernelSizes: number[]; // odd
  adapterHidden: number; // H
  quickGelu: boolean;
  /** A uint32 that the token embedding is computed from (see native/ops/gather_tokens); else it is stored. */
  tokenEmbeddingSeed?: number;
}

export interface ModelSpec {
  files: string[];
  tensors: TensorSource[];
  config: ModelConfig;
  /** Strict: refused with ERR_ACD_UNSUPPORTED where the device does not compute in it. */
  precision: NativePrecision;
  /** Two specs with equal non-empty keys share one copy of the weights in this process. */
  shareKey: string;
  /** 'cpu' (the default) or 'cuda:N'. */
  device?: string;
  /** Most memory of a GPU that this process takes, bytes. */
  memoryBudget?: number;
  /** Threads of one computation; 0 = all that affinity and cgroup allow. */
  threads: number;
  /** Most jobs that may wait; one more is refused with ERR_ACD_QUEUE_FULL. */
  queueLimit: number;
}

export interface DetectJob {
  /** RGB8, height * width * 3 bytes; resized and normalised natively. Exactly one of pixels, tensor. */
  pixels?: Uint8Array;
  /** Nobody writes the pixels any more: they are read where they lie, not copied. */
  lent?: boolean;
  width: number; // of pixels, or of the original image when `tensor` is given
  height: number;
  /** Already normalised input, [3, S, S]. */
  tensor?: Float32Array;
  /** [G, E, 2], column 0 normal. */
  text: Float32Array;
  blurTaps: number; // odd; 1 = no blur
  blurSigma: number;
  mapWeight: number; // image score = (1 - mapWeight) * cls + mapWeight * max(map)
  map: 'none' | 'model' | 'image';
  /** Absent: no regions. In 0..1: pixels of the S x S map at or above it form regions. */
  regionThreshold?: number | undefined;
  regionMinArea?: number | undefined; // pixels of the S x S map, default 1
  /** Also return intermediate tensors (tests, research). */
  debug?: boolean;
  /** Also time every operation of the computation: timing.stages. */
  stages?: boolean;
}

/** Calls of one device operation with the same extents, in the order in which they first came. */
export interface NativeStage {
  op: string; // as in native/ops
  /** linear: rows, columns read, columns written; attention: tokens, heads, images; others 0. */
  rows: number;
  from: number;
  to: number;
  calls: number;
  ms: number; // all calls together
}

export interface NativeRegion {
  x: number; // box, pixels of the S x S map
  y: number;
  width: number;
  height: number;
  area: number; // pixels
  score: number; // maximum inside
  mean: number;
  cx: number; // centroid
  cy: number;
  /** Outer outline, x0, y0, x1, y1, ... in the same pixels, pixel corners, clockwise. */
  polygon: Int32Array;
}

export interface NativeDetection {
  score: number;
  cls: number;
  mapMax: number;
  map?: Float32Array; // [mapHeight, mapWidth], 0..1
  mapWidth: number;
  mapHeight: number;
  regions?: NativeRegion[];
  timing: {
    queueMs: number;
    preprocessMs: number;
    computeMs: number; // of the whole batch, as is stages
    postprocessMs: number;
    stages?: NativeStage[];
  };
  batch: number; // images computed together
  debug?: {
    segTokens: Float32Array; // [G, N, E]
    detFeatures: Float32Array; // [G, E]
    gate: Float32Array; // [G, G, 2]
    groupLogits: Float32Array; // [G, 2, g, g]
    detLogits: Float32Array; // [2]
  };
}

export interface EmbedJob {
  pixels?: Uint8Array;
  lent?: boolean; // as of DetectJob
  width: number;
  height: number;
  tensor?: Float32Array;
  patches: boolean;
}

export interface NativeEmbedding {
  features: Float32Array; // [G, E]: mean over tokens of the normalised det vectors
  patches?: Float32Array; // [G, N, E]
}

export interface JobHandle<T> {
  id: number;
  result: Promise<T>;
}

export interface MemoryUsage {
  weightsBytes: number;
  arenaBytes: number;
  peakBytes: number;
}

/** A loaded model: weights, arena and one scheduler thread. */
export interface NativeModel {
  readonly config: ModelConfig;
  readonly precision: NativePrecision;
  readonly threads: number;
  /** Pictures worth having under way at once. */
  readonly lookahead: number;
  detect(job: DetectJob): JobHandle<NativeDetection>;
  /** tokens [P, L] int32, zero padded -> adapted end-of-text features [G, P, W]. */
  encodeText(tokens: Int32Array, prompts: number, length: number): JobHandle<Float32Array>;
  /** The first `normal` of P prompts are normal, the rest abnormal -> text features [G, W, 2]. */
  encodeClass(
    tokens: Int32Array,
    prompts: number,
    length: number,
    normal: number,
  ): JobHandle<Float32Array>;
  embed(job: EmbedJob): JobHandle<NativeEmbedding>;
  /** A queued job rejects with ERR_ACD_ABORTED at once, a running one between layers. */
  cancel(id: number): void;
  queueDepth(): number;
  /** Why small batches are no CUDA graphs any more; '' while nothing went wrong. */
  graphFault(): string;
  memoryUsage(): MemoryUsage;
  /** Waits for running jobs, rejects waiting ones with ERR_ACD_ABORTED, frees the weights. */
  dispose(): Promise<void>;
}

export interface LoadHandle {
  /** Stops the load between tensors. */
  cancel(): void;
  result: Promise<NativeModel>;
}

export interface NativeRuntimeInfo {
  version: string;
  compiler: string;
  isa: string; // level in use: 'baseline' | 'avx2' | 'avx512' | 'avx512_vnni' | 'avx512_bf16'
  isaDetected: string;
  isaForced: boolean; // by ACD_CLIP_ISA
  onednn: string; // version
  onednnIsa: string;
  cpu: string;
  cpus: number; // by affinity and cgroup quota
}

export interface NativeDevice {
  id: string; // 'cpu', 'cuda:0'
  available: boolean;
  name: string;
  reason: string; // why not, or what it was chosen for
  checked: boolean; // whether everything has been compared with its reference on a device of this kind
  precisions: { name: NativePrecision; available: boolean; reason: string }[];
}

/** The CUDA backend and what it needs, each found or missing. */
export interface NativeCudaInfo {
  plugin: string; // path of libacd_cuda.so, '' when it is not there
  built: string; // toolkit and architectures; '' without a plugin
  usable: boolean;
  reason: string;
  libraries: { name: string; usable: boolean; version: string; path: string; reason: string }[];
  choices: string[]; // of the devices in use, one line each
}

/** Ops one by one, for oracle tests and micro-benchmarks. Synchronous: they block the caller. */
export interface NativeKernels {
  /** u8 [h, w, channels] -> u8 [dh, dw, channels], identical to Pillow's BICUBIC. */
  resizeBicubic(
    src: Uint8Array,
    w: number,
    h: number,
    channels: number,
    dw: number,
    dh: number,
  ): Uint8Array;
  /** u8 [h, w, channels] -> u8 [dh, dw, channels], identical to Pillow's NEAREST. */
  resizeNearest(
    src: Uint8Array,
    w: number,
    h: number,
    channels: number,
    dw: number,
    dh: number,
  ): Uint8Array;
  /** f32 [h, w] -> f32 [dh, dw], bilinear, half-pixel centres, edge clamped. */
  resizeMap(src: Float32Array, w: number, h: number, dw: number, dh: number): Float32Array;
  /** RGB8 [h, w, 3] -> normalised [3, S, S]. */
  preprocess(src: Uint8Array, w: number, h: number, size: number): Float32Array;
  /** Connected components (8-neighbourhood) of map >= threshold, largest score first. */
  regions(
    map: Float32Array,
    w: number,
    h: number,
    threshold: number,
    minArea: number,
  ): NativeRegion[];
  /**
   * x [rows, k] -> act(x w^T + b) + residual, w [n, k]. A Uint16Array holds bf16 numbers: then w is
   * rounded to bf16 and so is the result, unless a residual, which is f32, was added. A Uint8Array
   * holds codes of quantize, with their `scales`: then w is rounded to 8 bits, a scale a row of w, and
   * the result is f32.
   */
  linear<X extends Float32Array | Uint16Array | Uint8Array>(
    x: X,
    w: Float32Array,
    b: Float32Array | null,
    rows: number,
    n: number,
    k: number,
    act: 'none' | 'gelu' | 'quickGelu' | 'leakyRelu',
    residual: Float32Array | null,
    scales?: Float32Array,
  ): X extends Uint16Array ? Uint16Array | Float32Array : Float32Array;
  /**
   * x [rows, width], f32 or bf16 (Uint16Array) -> codes [rows, width] and scales [rows, 2], where
   * x ~ scales[r][1] + scales[r][0] * codes[r][i].
   */
  quantize(
    x: Float32Array | Uint16Array,
    rows: number,
    width: number,
  ): { codes: Uint8Array; scales: Float32Array };
  /** x [rows, width] -> the same; `type` 'bf16' rounds the result. Default 'f32'. */
  layerNorm<T extends 'f32' | 'bf16' = 'f32'>(
    x: Float32Array,
    weight: Float32Array,
    bias: Float32Array,
    rows: number,
    width: number,
    type?: T,
  ): T extends 'bf16' ? Uint16Array : Float32Array;
  /** qkv [T, 3 * heads * 64] -> [T, heads * 64]; a Uint16Array holds bf16 numbers. */
  attention<X extends Float32Array | Uint16Array>(
    qkv: X,
    tokens: number,
    heads: number,
    causal: boolean,
  ): X;
  /** z [g * g, c_in] token-major, w [c_out, c_in / groups, k, k] -> [g * g, c_out]. */
  convTokens(
    z: Float32Array,
    w: Float32Array,
    grid: number,
    cIn: number,
    cOut: number,
    k: number,
    groups: number,
  ): Float32Array;
  /** x [rows, D] blended with y up [rows, R] x [R, D] at the norm of x: (1 - mix) x + mix a|x|/|a|. */
  loraBlend(
    x: Float32Array,
    y: Float32Array,
    up: Float32Array,
    mix: Float32Array,
    rows: number,
    width: number,
    rank: number,
  ): Float32Array;
  /** pos [1 + old * old, D] -> [1 + grid * grid, D], bicubic with antialiasing, half-pixel centres. */
  resizePositions(pos: Float32Array, oldGrid: number, grid: number, width: number): Float32Array;
  /** dots [G, g * g, 2G], gates [G, G, 2] -> probabilities [S, S]; see native/ops/fuse_map. */
  fuseMap(
    dots: Float32Array,
    gates: Float32Array,
    groups: number,
    grid: number,
    size: number,
    taps: number,
    sigma: number,
  ): Float32Array;
  /** image [3, S, S] -> [(S / p) ^ 2, 3 * p * p], columns in the order channel, y, x. */
  patchify(image: Float32Array, size: number, patch: number): Float32Array;
  /** x [T, D], whose row 0 is ignored: row 0 = classEmbedding, then + positions [T, D]. */
  assembleTokens(
    x: Float32Array,
    classEmbedding: Float32Array,
    positions: Float32Array,
    tokens: number,
    width: number,
  ): Float32Array;
  /** table[ids] + positions: ids [L], table [V, W] or the seed of one, positions [L, W] -> [L, W]. */
  gatherTokens(
    ids: Int32Array,
    table: Float32Array | number,
    positions: Float32Array,
    length: number,
    vocabulary: number,
    width: number,
  ): Float32Array;
  /** v = normalise(layerNorm(h w^T + b)) per token, h [N, k], w [E, k]; dots with text [columns, E]. */
  head(
    h: Float32Array,
    w: Float32Array,
    b: Float32Array,
    normWeight: Float32Array,
    normBias: Float32Array,
    text: Float32Array | null,
    tokens: number,
    k: number,
    width: number,
    columns: number,
  ): { mean: Float32Array; dots: Float32Array; vectors: Float32Array };
  /** softmax over G of w2 gelu(w1 mean + b1) + b2, viewed [G, 2]; w1 [H, E], w2 [2G, H]. */
  gate(
    mean: Float32Array,
    w1: Float32Array,
    b1: Float32Array,
    w2: Float32Array,
    b2: Float32Array,
    width: number,
    hidden: number,
    groups: number,
  ): Float32Array;
}

/** One generated picture; see native/datagen/generate.h. */
export interface DatagenSample {
  classId: number;
  label: 0 | 1; // 1: abnormal
  defect: number; // index into defects(); -1 when normal
  area: number; // pixels of the mask
  pixels: Uint8Array; // RGB8 [size, size, 3]
  mask: Uint8Array; // [size, size], 0 or 255
  clean: Uint8Array; // like pixels, without the defect
}

export interface DatagenRequest {
  seed: number;
  index: number;
  size: number; // 32 to 1024
  classId: number;
  defect: number; // -2 none, -1 drawn
  /** Colours and structure depend on (seed, classId) alone. */
  sharedDesign: boolean;
}

/** The generator of labelled pictures. sample() draws on a thread of its own. */
export interface NativeDatagen {
  sample(request: DatagenRequest): Promise<DatagenSample>;
  classes(): { name: string; noun: string; isObject: boolean; heldOut: boolean }[];
  defects(): string[];
}

export interface NativeBinding {
  load(spec: ModelSpec, onProgress: (loadedBytes: number, totalBytes: number) => void): LoadHandle;
  runtimeInfo(): NativeRuntimeInfo;
  /** cpuOnly: looks for no GPU, which takes a while. */
  listDevices(cpuOnly?: boolean): NativeDevice[];
  /** Opens the libraries that a GPU would need, to report on them: slow on first use. */
  cudaInfo(): NativeCudaInfo;
  /** sha256-free check that copies of weights are shared: models alive and bytes held in this process. */
  storeInfo(): { models: number; bytes: number };
  readonly kernels: NativeKernels;
  readonly datagen: NativeDatagen;
}
