// The public class: one loaded model.
import { types } from 'node:util';
import type { DetectJob, NativeDetection } from '../typings/native';
import { callNative, fromNative } from './binding';
import { AcdClipError } from './errors';
import { borrowRgb, type DecodedImage, decodeImage, type ImageInput } from './image';
import { inOrder } from './in-order';
import { AnomalyMap } from './model/anomaly-map';
import { domainFor, promptsOf, regionsOf } from './model/detect-options';
import { abortable, type LoadedModel, loadModel, orAborted } from './model/load';
import { Lru } from './model/lru';
import { checkProfile, type Profile, profileOf } from './model/profile';
import { regionInPicture } from './model/regions';
import type {
  CalibrateOptions,
  Detection,
  DetectOptions,
  Embedding,
  EmbedOptions,
  LoadOptions,
  ModelMemory,
  Precision,
  TextFeatures,
} from './model/types';
import { checkPrompts, type Domain, nounFor, type Prompts, promptsFor, tokenize } from './text';
import {
  checkBoolean,
  checkFunction,
  checkNumber,
  checkOneOf,
  checkOptions,
  checkSignal,
  checkString,
  invalid,
  isPlainObject,
} from './validate';

const PROMPT_OPTIONS = ['className', 'prompts', 'dataset', 'nouns'];
const DETECT_OPTIONS = [
  ...PROMPT_OPTIONS,
  'textFeatures',
  'domain',
  'threshold',
  'profile',
  'map',
  'regions',
  'autoOrient',
  'stages',
  'signal',
];
const EMBED_OPTIONS = ['patches', 'autoOrient', 'signal'];
const CALIBRATE_OPTIONS = [
  ...PROMPT_OPTIONS,
  'domain',
  'autoOrient',
  'signal',
  'fpr',
  'onProgress',
];

/** Blur and weight of the map's maximum in the image score, by domain (published constants). */
const DOMAINS: Record<Domain, { blurTaps: number; blurSigma: number; mapWeight: number }> = {
  industrial: { blurTaps: 7, blurSigma: 1, mapWeight: 0.1 },
  medical: { blurTaps: 9, blurSigma: 1.5, mapWeight: 0.5 },
};

const TEXT_CACHE = 256;

/** Sentences, and what finds their features again. */
interface KeyedPrompts {
  prompts: Prompts;
  key: string;
}

/** Options of detect, checked and completed. */
interface DetectPlan {
  text: () => TextFeatures | Promise<TextFeatures>;
  domain: Domain;
  threshold: number | undefined;
  map: 'none' | 'model' | 'image';
  regions: { threshold: number; minArea: number } | undefined;
  autoOrient: boolean;
  stages: boolean;
  signal: AbortSignal | undefined;
}

/** What a detection needs before it can be submitted. */
interface Ready {
  text: TextFeatures;
  picture: DecodedImage;
  decodeMs: number;
}

function keyedBy(prompts: Prompts): KeyedPrompts {
  return { prompts, key: JSON.stringify(prompts) };
}

/**
 * ACD-CLIP, loaded and ready: zero-shot anomaly detection from one picture and the name of what it
 * shows.
 *
 * ```ts
 * const model = await AcdClip.load({ backbone: 'ViT-L-14-336px.pt', adapter: 'adapter_12.pth' });
 * const found = await model.detect('nut.jpg', { className: 'metal nut' });
 * console.log(found.score);
 * await model.dispose(); // or `await using` where the runtime or compiler has it
 * ```
 *
 * Every method that computes runs on the addon's own threads; the event loop stays free. Errors are
 * {@link AcdClipError}; a cancelled call rejects with its signal's reason.
 */
export class AcdClip {
  readonly #model: LoadedModel;
  readonly #texts = new Lru<TextFeatures | Promise<TextFeatures>>(TEXT_CACHE);
  /** Sentences of class names given alone: cleaning and filling them in costs more than all else. */
  readonly #named = new Lru<KeyedPrompts>(TEXT_CACHE);
  #disposal: Promise<void> | undefined;

  private constructor(model: LoadedModel) {
    this.#model = model;
  }

  /**
   * Loads a model. Weights go from the file to native memory without passing through JavaScript,
   * and are shared by every AcdClip and worker thread that loads the same files. Without files it
   * loads the starter model that comes with the package.
   *
   * @throws AcdClipError ERR_ACD_NO_MODEL, ERR_ACD_FILE_NOT_FOUND, ERR_ACD_CHECKPOINT_*,
   *   ERR_ACD_DEVICE_UNAVAILABLE, ERR_ACD_UNSUPPORTED, ERR_ACD_INVALID_ARG, ERR_ACD_UNKNOWN_OPTION,
   *   ERR_ACD_OUT_OF_MEMORY, ERR_ACD_NATIVE_MISSING
   */
  static async load(options: LoadOptions = {}): Promise<AcdClip> {
    return new AcdClip(await loadModel(options));
  }

  /** Where the model runs: 'cpu'. */
  get device(): string {
    return this.#model.device;
  }
  /** Why that device was chosen; later also what it had to do without. */
  get deviceReason(): string {
    const fault = this.#model.native.graphFault();
    const without = fault && `; without CUDA graphs, which failed: ${fault}`;
    return `${this.#model.deviceReason}${without}`;
  }
  /** Number format of the products in both towers. */
  get precision(): Precision {
    return this.#model.precision;
  }
  /** Why that precision was chosen. */
  get precisionReason(): string {
    return this.#model.precisionReason;
  }
  /** Threads of one computation. */
  get threads(): number {
    return this.#model.native.threads;
  }
  /** Side of the model's input and of `map: 'model'`, pixels. */
  get imageSize(): number {
    return this.#model.config.imageSize;
  }
  /** Number of adapter groups. */
  get groups(): number {
    return this.#model.config.groups;
  }
  /** Identifies weights and configuration; profiles and text features carry it. */
  get modelId(): string {
    return this.#model.modelId;
  }
  /** Whether dispose() was called. */
  get disposed(): boolean {
    return this.#disposal !== undefined;
  }

  /**
   * Scores one picture.
   *
   * `image`: a path, file URL, encoded bytes, Readable, sharp instance or raw pixels; it is neither
   * changed nor kept.
   *
   * @throws AcdClipError ERR_ACD_IMAGE_FORMAT, ERR_ACD_IMAGE_LIMIT, ERR_ACD_FILE_NOT_FOUND,
   *   ERR_ACD_FILE_READ, ERR_ACD_UNSUPPORTED (an http address), ERR_ACD_CHECKPOINT_MISMATCH (profile
   *   or textFeatures of another model), ERR_ACD_ABORTED (disposed while waiting),
   *   ERR_ACD_PROMPT_TOO_LONG, ERR_ACD_QUEUE_FULL, ERR_ACD_NON_FINITE, ERR_ACD_OUT_OF_MEMORY,
   *   ERR_ACD_DISPOSED, ERR_ACD_INVALID_ARG, ERR_ACD_UNKNOWN_OPTION
   */
  async detect(image: ImageInput, options: DetectOptions = {}): Promise<Detection> {
    this.#checkAlive();
    return await this.#detect(image, this.#plan('detect', options), 'image');
  }

  /**
   * Scores many pictures; the results are in their order. Paces itself, so any number may be given;
   * the first failure rejects the whole call and its message names the picture's index.
   *
   * @throws AcdClipError as detect
   */
  async detectBatch(
    images: readonly ImageInput[],
    options: DetectOptions = {},
  ): Promise<Detection[]> {
    if (!Array.isArray(images)) throw invalid('images', 'array of pictures', images);
    const all: Detection[] = [];
    for await (const found of this.detectStream(images, options)) all.push(found);
    return all;
  }

  /**
   * Scores pictures as they come, in order; decodes up to 8 ahead (on a GPU up to three of its batches),
   * while earlier ones are computed.
   * A result is given as soon as it is there, however long the next picture takes to come. Ends
   * with its source, or with the first failure, or when the loop over it is left.
   *
   * @throws AcdClipError as detect
   */
  async *detectStream(
    images: AsyncIterable<ImageInput> | Iterable<ImageInput>,
    options: DetectOptions = {},
  ): AsyncGenerator<Detection, void, undefined> {
    this.#checkAlive();
    checkPictures('images', images);
    const plan = this.#plan('detectStream', options);
    const stop = new AbortController();
    const signal = plan.signal ? AbortSignal.any([plan.signal, stop.signal]) : stop.signal;
    const window = Math.min(this.#model.native.lookahead, this.#model.queueLimit);
    const shared = { ...plan, signal };
    let index = 0;
    const detect = (image: ImageInput) => this.#detect(image, shared, `images[${index++}]`);
    yield* inOrder(images, window, detect, () => stop.abort());
  }

  /**
   * Text features of a class, once, for many detections.
   *
   * @param prompts sentences for the intact and the damaged object, or a class name
   * @throws AcdClipError ERR_ACD_PROMPT_TOO_LONG, ERR_ACD_INVALID_ARG, ERR_ACD_DISPOSED
   */
  async encodePrompts(
    prompts: Prompts | string,
    options: { signal?: AbortSignal } = {},
  ): Promise<TextFeatures> {
    this.#checkAlive();
    checkOptions('encodePrompts', options, ['signal']);
    const signal = options.signal === undefined ? undefined : checkSignal('signal', options.signal);
    signal?.throwIfAborted();
    const checked =
      typeof prompts === 'string' ? promptsFor(nounFor(prompts)) : checkPrompts(prompts);
    const encoded = this.#encode(checked);
    const features = encoded instanceof Promise ? await orAborted(encoded, signal) : encoded;
    return { ...features, data: features.data.slice() };
  }

  /**
   * Adapted image features without any text: one vector a group, and the patch vectors if asked for.
   *
   * @throws AcdClipError as detect
   */
  async embed(image: ImageInput, options: EmbedOptions = {}): Promise<Embedding> {
    this.#checkAlive();
    checkOptions('embed', options, EMBED_OPTIONS);
    const patches =
      options.patches === undefined ? false : checkBoolean('patches', options.patches);
    const autoOrient =
      options.autoOrient === undefined ? false : checkBoolean('autoOrient', options.autoOrient);
    const signal = options.signal === undefined ? undefined : checkSignal('signal', options.signal);
    signal?.throwIfAborted();
    const borrowed = borrowRgb(image, 'image', this.#model.imageLimits);
    let picture = borrowed;
    if (!picture) {
      picture = await this.#decode(image, 'image', autoOrient, signal);
      signal?.throwIfAborted();
      this.#checkAlive();
    }
    const job = {
      pixels: picture.data,
      lent: !borrowed,
      width: picture.width,
      height: picture.height,
      patches,
    };
    const handle = callNative(() => this.#model.native.embed(job));
    const found = await abortable(handle.result, signal, () =>
      this.#model.native.cancel(handle.id),
    );
    const { groups, embedDim, imageSize, patchSize } = this.#model.config;
    return { ...found, groups, width: embedDim, grid: imageSize / patchSize };
  }

  /**
   * Thresholds from pictures of good parts: at most `fpr` of them would be flagged.
   *
   * @throws AcdClipError as detect; ERR_ACD_INVALID_ARG without any picture
   */
  async calibrate(
    goodImages: AsyncIterable<ImageInput> | Iterable<ImageInput>,
    options: CalibrateOptions,
  ): Promise<Profile> {
    this.#checkAlive();
    checkOptions('calibrate', options, CALIBRATE_OPTIONS);
    checkPictures('goodImages', goodImages);
    // JavaScript may leave them out; what is missing is then said like any other mistake.
    const { fpr: wish, onProgress, ...shared } = options ?? {};
    const fpr = wish === undefined ? 0.01 : checkNumber('fpr', wish, 0, 0.5);
    if (onProgress !== undefined) checkFunction('onProgress', onProgress);
    const prompts = promptsOf(shared);
    if (prompts === undefined)
      throw invalid('options of calibrate', 'className or prompts', options);
    const detect: DetectOptions = { ...shared, map: 'none' };
    const good: { score: number; mapMax: number }[] = [];
    for await (const found of this.detectStream(goodImages, detect)) {
      good.push({ score: found.score, mapMax: found.parts.mapMax });
      onProgress?.({ done: good.length });
    }
    if (good.length === 0) throw invalid('goodImages', 'at least one picture', 0);
    return profileOf(good, { prompts, domain: domainFor(shared), fpr, modelId: this.modelId });
  }

  /** Native memory of this model, bytes. */
  memoryUsage(): ModelMemory {
    return this.#model.native.memoryUsage();
  }

  /**
   * Waits for the running call, rejects waiting ones with ERR_ACD_ABORTED and frees the memory.
   * A second call waits for the first.
   */
  dispose(): Promise<void> {
    this.#disposal ??= this.#model.native.dispose();
    return this.#disposal;
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.dispose();
  }

  #checkAlive(): void {
    if (this.#disposal !== undefined) {
      throw new AcdClipError(
        'ERR_ACD_DISPOSED',
        'This model was disposed and cannot be used any more',
        {
          help: 'Load it again with AcdClip.load().',
        },
      );
    }
  }

  #plan(where: string, o: DetectOptions): DetectPlan {
    checkOptions(where, o, DETECT_OPTIONS);
    const profile = o.profile === undefined ? undefined : checkProfile('profile', o.profile);
    if (profile) this.#checkModelId('profile', profile.modelId);
    const given = [o.className, o.prompts, o.textFeatures].filter((v) => v !== undefined).length;
    if (given > 1 || (given === 0 && !profile)) {
      throw new AcdClipError(
        'ERR_ACD_INVALID_ARG',
        `Expected exactly one of className, prompts, textFeatures${given ? '' : ' (or a profile)'} for ${where} but received ${given}`,
        { help: "Say what the picture shows, for example { className: 'metal nut' }." },
      );
    }
    if (profile && o.threshold === undefined && (given > 0 || o.domain !== undefined)) {
      throw new AcdClipError(
        'ERR_ACD_INVALID_ARG',
        'Expected a threshold beside a profile whose prompts or domain are replaced but received none',
        {
          help: "The profile's thresholds hold for its own prompts and domain: calibrate anew, or pass threshold.",
        },
      );
    }
    const threshold =
      o.threshold === undefined ? profile?.threshold : checkNumber('threshold', o.threshold, 0, 1);
    return {
      text: this.#textOf(o, profile),
      domain: domainFor(o, profile),
      threshold,
      map: checkOneOf('map', o.map ?? 'model', ['none', 'model', 'image']),
      regions: regionsOf(o.regions, profile),
      autoOrient: o.autoOrient === undefined ? false : checkBoolean('autoOrient', o.autoOrient),
      stages: o.stages === undefined ? false : checkBoolean('stages', o.stages),
      signal: o.signal === undefined ? undefined : checkSignal('signal', o.signal),
    };
  }

  #textOf(o: DetectOptions, profile: Profile | undefined): DetectPlan['text'] {
    if (o.textFeatures !== undefined) {
      const features = this.#checkTextFeatures(o.textFeatures);
      return () => features;
    }
    const alone = o.prompts === undefined && o.dataset === undefined && o.nouns === undefined;
    const name = alone && typeof o.className === 'string' ? o.className : undefined;
    let keyed = name === undefined ? undefined : this.#named.get(name);
    if (!keyed) {
      keyed = keyedBy(promptsOf(o) ?? profile!.prompts);
      if (name !== undefined) this.#named.set(name, keyed);
    }
    const { prompts, key } = keyed;
    // Tokens are counted before anything is decoded: an over-long prompt fails at once.
    return () => this.#encode(prompts, key);
  }

  #checkModelId(name: string, modelId: string): void {
    if (modelId === this.modelId) return;
    throw new AcdClipError(
      'ERR_ACD_CHECKPOINT_MISMATCH',
      `Expected ${name} of this model (${this.modelId.slice(0, 12)}) but received one of another (${modelId.slice(0, 12)})`,
      {
        help: 'Scores of different weights or settings cannot be compared: make it again with this model.',
      },
    );
  }

  #checkTextFeatures(value: unknown): TextFeatures {
    const { groups, embedDim } = this.#model.config;
    if (
      !isPlainObject(value) ||
      !types.isFloat32Array(value.data) ||
      value.data.length !== groups * embedDim * 2
    ) {
      throw invalid(
        'textFeatures',
        `result of encodePrompts() with ${groups * embedDim * 2} values`,
        value,
      );
    }
    this.#checkModelId('textFeatures', checkString('textFeatures.modelId', value.modelId));
    return { data: value.data, groups, width: embedDim, modelId: this.modelId };
  }

  /** Features of an earlier call at once, else a promise of them. */
  #encode(prompts: Prompts, key = JSON.stringify(prompts)): TextFeatures | Promise<TextFeatures> {
    const known = this.#texts.get(key);
    if (known) return known;
    const { contextLength, vocabSize, groups, embedDim } = this.#model.config;
    const sentences = [...prompts.normal, ...prompts.abnormal];
    const batch = tokenize(sentences, { contextLength, vocabSize });
    const encoded = (async () => {
      const handle = callNative(() =>
        this.#model.native.encodeClass(
          batch.tokens,
          batch.prompts,
          batch.length,
          prompts.normal.length,
        ),
      );
      const data = await abortable(handle.result, undefined, () => {});
      return { data, groups, width: embedDim, modelId: this.modelId };
    })();
    this.#texts.set(key, encoded);
    encoded.then(
      (features) => this.#texts.set(key, features),
      // Only features that were computed are kept.
      () => this.#texts.delete(key),
    );
    return encoded;
  }

  #decode(
    image: ImageInput,
    name: string,
    autoOrient: boolean,
    signal: AbortSignal | undefined,
  ): Promise<DecodedImage> {
    return decodeImage(image, {
      autoOrient,
      name,
      limits: this.#model.imageLimits,
      ...(signal ? { signal } : {}),
    });
  }

  async #detect(image: ImageInput, plan: DetectPlan, name: string): Promise<Detection> {
    const { signal } = plan;
    signal?.throwIfAborted();
    const text = plan.text();
    // With nothing to wait for, the addon copies the pixels before this call returns. Pixels that we
    // decoded are nobody else's: it reads them where they lie.
    const borrowed =
      text instanceof Promise ? undefined : borrowRgb(image, name, this.#model.imageLimits);
    const ready = borrowed
      ? { text: text as TextFeatures, picture: borrowed, decodeMs: 0 }
      : await this.#ready(image, plan, name, text);
    let cancel: (() => void) | undefined;
    let found: NativeDetection;
    try {
      const job = this.#job(ready, plan, borrowed === undefined);
      const { id, result } = callNative(() => this.#model.native.detect(job));
      if (signal) {
        cancel = () => this.#model.native.cancel(id);
        signal.addEventListener('abort', cancel, { once: true });
      }
      found = await result;
    } catch (error) {
      throw signal?.aborted ? signal.reason : failureOf(fromNative(error), name);
    } finally {
      if (cancel) signal?.removeEventListener('abort', cancel);
    }
    return this.#detection(found, ready, plan);
  }

  /** A picture that is to be read and decoded, while its text may still be encoded. */
  async #ready(
    image: ImageInput,
    plan: DetectPlan,
    name: string,
    text: TextFeatures | Promise<TextFeatures>,
  ): Promise<Ready> {
    // Not before the text: the first prompt of a process builds the tokenizer.
    const start = performance.now();
    // Both run at once; if one fails, the other's failure must not go unhandled.
    if (text instanceof Promise) text.catch(() => {});
    const picture = await this.#decode(image, name, plan.autoOrient, plan.signal);
    const decodeMs = performance.now() - start;
    const features = text instanceof Promise ? await orAborted(text, plan.signal) : text;
    plan.signal?.throwIfAborted();
    this.#checkAlive();
    return { text: features, picture, decodeMs };
  }

  #job({ text, picture }: Ready, plan: DetectPlan, lent: boolean): DetectJob {
    const { data: pixels, width, height } = picture;
    const { blurTaps, blurSigma, mapWeight } = DOMAINS[plan.domain];
    return {
      pixels,
      lent,
      width,
      height,
      text: text.data,
      blurTaps,
      blurSigma,
      mapWeight,
      map: plan.map,
      stages: plan.stages,
      regionThreshold: plan.regions?.threshold,
      regionMinArea: plan.regions && this.#minAreaInMap(plan.regions.minArea, width * height),
    };
  }

  /**
   * Regions are found on the S x S map: areas there and in the picture differ by a factor. One pixel
   * of the picture is what the smallest region counts as; more than all pixels of the map is none.
   */
  #minAreaInMap(minArea: number, picturePixels: number): number {
    const { imageSize } = this.#model.config;
    if (minArea === 1) return 1;
    const inMap = Math.ceil((minArea * imageSize * imageSize) / picturePixels);
    return Math.min(imageSize * imageSize + 1, inMap);
  }

  #detection(found: NativeDetection, { picture, decodeMs }: Ready, plan: DetectPlan): Detection {
    const { width, height, format } = picture;
    const { queueMs, preprocessMs, computeMs, postprocessMs, stages } = found.timing;
    const timing: Detection['timing'] = {
      decodeMs,
      queueMs,
      preprocessMs,
      computeMs,
      postprocessMs,
    };
    if (stages) timing.stages = stages;
    const detection: Partial<Detection> = {
      score: found.score,
      parts: { cls: found.cls, mapMax: found.mapMax },
    };
    if (plan.threshold !== undefined) detection.isAnomalous = found.score >= plan.threshold;
    if (found.map) {
      const decode = { autoOrient: plan.autoOrient, limits: this.#model.imageLimits };
      detection.map = new AnomalyMap(found.map, found.mapWidth, found.mapHeight, decode);
    }
    if (found.regions) {
      const size = this.imageSize;
      detection.regions = found.regions.map((r) => regionInPicture(r, { width, height }, size));
    }
    detection.image = format === undefined ? { width, height } : { width, height, format };
    detection.timing = timing;
    return detection as Detection;
  }
}

/** One of many pictures: its failure says which. */
function failureOf(error: unknown, name: string): unknown {
  if (name === 'image' || !(error instanceof AcdClipError)) return error;
  const { code, message, help } = error;
  return new AcdClipError(code, `${name}: ${message}`, {
    cause: error,
    ...(help !== undefined && { help }),
  });
}

/** A string and a Buffer are iterable too, but hardly meant as many pictures. */
function checkPictures(name: string, value: unknown): void {
  const v = value as Record<PropertyKey, unknown> | null | undefined;
  if (
    typeof v !== 'object' ||
    v === null ||
    ArrayBuffer.isView(v) ||
    (typeof v[Symbol.asyncIterator] !== 'function' && typeof v[Symbol.iterator] !== 'function')
  ) {
    throw invalid(name, 'array or (async) iterable of pictures', value);
  }
}
