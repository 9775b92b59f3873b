// From options to a native model: checkpoints parsed here, weights read there.
import type { ModelConfig, NativeDevice, NativeModel, NativePrecision } from '../../typings/native';
import { callNative, fromNative } from '../binding';
import { planModel, readCheckpoint } from '../checkpoint';
import { AcdClipError } from '../errors';
import { DEFAULT_IMAGE_LIMITS, type ImageLimits } from '../image';
import { resolveLimits } from '../image/limits';
import {
  checkBoolean,
  checkFunction,
  checkInteger,
  checkNumber,
  checkOneOf,
  checkOptions,
  checkSignal,
  checkString,
  invalid,
} from '../validate';
import { fingerprint } from './fingerprint';
import { verifiedStarter } from './starter';
import type { LoadOptions, Precision } from './types';

/** What the caller may say in place of what the checkpoint does. */
const OVERRIDES = [
  'imageSize',
  'quickGelu',
  'loraAlpha',
  'convLoraAlpha',
  'textLoraAlpha',
  'visionLevels',
  'textLevels',
] as const;

const PRECISIONS: readonly Precision[] = ['fp32', 'bf16', 'fp16', 'int8', 'fp8'];
const SOURCES = ['backbone', 'adapter', 'bundle'] as const;
const OPTIONS = [
  ...OVERRIDES,
  ...SOURCES,
  'device',
  'precision',
  'threads',
  'memoryBudget',
  'queueLimit',
  'imageLimits',
  'onProgress',
  'signal',
  'logger',
];

export interface LoadedModel {
  native: NativeModel;
  config: ModelConfig;
  modelId: string;
  device: string;
  deviceReason: string;
  precision: NativePrecision;
  precisionReason: string;
  imageLimits: ImageLimits;
  queueLimit: number;
}

function checkLoadOptions(o: LoadOptions): void {
  checkOptions('AcdClip.load', o, OPTIONS);
  for (const key of SOURCES) {
    if (o[key] !== undefined) checkString(key, o[key]);
  }
  if (o.threads !== undefined) checkInteger('threads', o.threads, 1, 1024);
  if (o.imageSize !== undefined) checkInteger('imageSize', o.imageSize, 1, 4096);
  if (o.quickGelu !== undefined) checkBoolean('quickGelu', o.quickGelu);
  for (const key of ['loraAlpha', 'convLoraAlpha', 'textLoraAlpha'] as const) {
    if (o[key] !== undefined) checkNumber(key, o[key], 0, 1e6);
  }
  if (o.memoryBudget !== undefined) {
    checkInteger('memoryBudget', o.memoryBudget, 1, 2 ** 52);
    if (o.device === 'cpu') throw invalid('memoryBudget', 'nothing on the CPU', o.memoryBudget);
  }
  if (o.queueLimit !== undefined) checkInteger('queueLimit', o.queueLimit, 1, 4096);
  if (o.onProgress !== undefined) checkFunction('onProgress', o.onProgress);
  if (o.logger !== undefined) checkFunction('logger', o.logger);
  if (o.signal !== undefined) checkSignal('signal', o.signal);
}

function chooseDevice(
  wish: unknown,
  precision: unknown,
  devices: readonly NativeDevice[],
): { device: NativeDevice; deviceReason: string } {
  const cpu = devices.find((d) => d.id === 'cpu')!;
  if (wish === 'cpu') return { device: cpu, deviceReason: 'asked for' };
  const automatic = wish === undefined || wish === 'auto';
  if (!automatic && (typeof wish !== 'string' || !/^cuda(:\d{1,2})?$/.test(wish))) {
    throw invalid('device', "'auto', 'cpu', 'cuda' or 'cuda:N'", wish);
  }
  const all = devices.filter((d) => d.id.startsWith('cuda'));
  const index = /:0*(\d+)$/.exec(automatic ? '' : wish)?.[1];
  const candidates = index === undefined ? all : all.filter((d) => d.id === `cuda:${index}`);
  const usable = candidates.filter((d) => d.available);
  // A default must not be the first to try a kind of device (docs/gpu-results.md).
  const found = automatic ? (usable.find((d) => d.checked) ?? usable[0]) : usable[0];
  if (found) {
    const place = `${found.name}, ${found.reason}`;
    if (!automatic) return { device: found, deviceReason: `asked for: ${place}` };
    const lacks = found.precisions.find((p) => p.name === precision && !p.available);
    let why = '';
    if (!found.checked) why = 'is only taken when asked for: its kind of GPU is not checked yet';
    else if (lacks) why = `has no ${precision}: ${lacks.reason}`;
    if (why) return { device: cpu, deviceReason: `${found.id} (${place}) ${why}` };
    return { device: found, deviceReason: `found: ${place}` };
  }
  const first = candidates[0] ?? all.find((d) => d.id === 'cuda');
  const reason = first?.reason ?? `there are only ${all.length} CUDA devices`;
  if (automatic) return { device: cpu, deviceReason: `no CUDA device: ${reason}` };
  throw new AcdClipError('ERR_ACD_DEVICE_UNAVAILABLE', `Device ${wish} cannot be used: ${reason}`, {
    help: "Use device 'auto' or 'cpu'; \"acd-clip inspect\" tells what was found.",
  });
}

/** Where to compute and in what; options that cannot be had throw. */
function choosePlace(
  o: LoadOptions,
): Pick<LoadedModel, 'device' | 'deviceReason' | 'precision' | 'precisionReason'> {
  const { device, deviceReason } = chooseDevice(
    o.device,
    o.precision,
    callNative((addon) => addon.listDevices(o.device === 'cpu')),
  );
  return { device: device.id, deviceReason, ...choosePrecision(o.precision, device) };
}

function choosePrecision(
  wish: unknown,
  device: NativeDevice,
): { precision: NativePrecision; precisionReason: string } {
  const precision = checkOneOf('precision', wish ?? 'auto', ['auto', ...PRECISIONS]);
  if (precision === 'auto') {
    const bf16 = device.precisions.find((p) => p.name === 'bf16' && p.available);
    if (bf16) return { precision: 'bf16', precisionReason: bf16.reason };
    const why = device.precisions.find((p) => p.name === 'bf16')?.reason ?? 'not built in';
    return { precision: 'fp32', precisionReason: `no bf16: ${why}` };
  }
  const offered = device.precisions.find((p) => p.name === precision);
  if (offered?.available) return { precision: offered.name, precisionReason: 'asked for' };
  throw new AcdClipError(
    'ERR_ACD_UNSUPPORTED',
    `Precision ${precision} cannot be used on ${device.id}: ${offered?.reason ?? 'this version has no kernels for it'}`,
    { help: "Use precision 'auto' or 'fp32'." },
  );
}

/** The files to read: those that were named, else the starter model's. */
async function chooseFiles(o: LoadOptions): Promise<Pick<LoadOptions, (typeof SOURCES)[number]>> {
  if (SOURCES.some((key) => o[key] !== undefined)) return o;
  const bundle = await verifiedStarter();
  o.logger?.('info', `no backbone and no bundle given: using the starter model ${bundle}`);
  return { bundle };
}

/**
 * Reads the checkpoints and loads the weights. A GPU that was not asked for by name and then fails gives way to the CPU.
 * Errors: every checkpoint code; the signal's reason.
 */
export async function loadModel(options: LoadOptions): Promise<LoadedModel> {
  checkLoadOptions(options);
  const chosen = choosePlace(options);
  try {
    return await loadAt(options, chosen);
  } catch (error) {
    const asked = options.device !== undefined && options.device !== 'auto';
    if (asked || chosen.device === 'cpu' || !failedThere(error)) throw error;
    const deviceReason = `${chosen.device} was tried: ${error.message}`;
    let place: Place;
    try {
      place = { ...choosePlace({ ...options, device: 'cpu' }), deviceReason };
    } catch {
      throw error; // the CPU lacks the precision that was asked for
    }
    options.logger?.('warn', deviceReason);
    return loadAt(options, place);
  }
}

/** Whether it may be the device's: what is the files' or the caller's fails on the CPU too. */
function failedThere(error: unknown): error is AcdClipError {
  const codes = [
    'ERR_ACD_OUT_OF_MEMORY',
    'ERR_ACD_DEVICE_UNAVAILABLE',
    'ERR_ACD_UNSUPPORTED',
    'ERR_ACD_INTERNAL',
    'ERR_ACD_INVALID_ARG', // another memoryBudget than the one in force there
  ];
  return error instanceof AcdClipError && codes.includes(error.code);
}

type Place = ReturnType<typeof choosePlace>;

async function loadAt(options: LoadOptions, chosen: Place): Promise<LoadedModel> {
  const { signal } = options;
  signal?.throwIfAborted();
  const imageLimits =
    options.imageLimits === undefined
      ? { ...DEFAULT_IMAGE_LIMITS }
      : resolveLimits(options.imageLimits);

  const read = signal ? { signal } : {};
  const sources: Parameters<typeof planModel>[0] = {};
  const files = await chooseFiles(options);
  for (const key of SOURCES) {
    const path = files[key];
    if (path !== undefined) sources[key] = await readCheckpoint(path, read);
  }
  const given = Object.fromEntries(
    OVERRIDES.flatMap((key) => (options[key] === undefined ? [] : [[key, options[key]]])),
  );
  const plan = planModel({ ...sources, ...given });
  for (const warning of plan.warnings) options.logger?.('warn', warning);
  options.logger?.('info', `device ${chosen.device}: ${chosen.deviceReason}`);
  options.logger?.('info', `precision ${chosen.precision}: ${chosen.precisionReason}`);
  const budget = chosen.device === 'cpu' ? undefined : options.memoryBudget;
  if (budget === undefined && options.memoryBudget !== undefined)
    options.logger?.('warn', 'memoryBudget bounds memory of GPUs: the CPU was taken without it');
  const modelId = await fingerprint(plan.files, plan.config);

  const threads = options.threads ?? 0;
  const queueLimit = options.queueLimit ?? 64;
  const spec = {
    files: plan.files,
    tensors: plan.tensors,
    config: plan.config,
    precision: chosen.precision,
    // Packed weights belong to a backend and a precision, on the CPU also to a number of threads.
    shareKey: [
      plan.identity,
      chosen.device,
      chosen.precision,
      ...(chosen.device === 'cpu' ? [threads] : []),
    ].join(':'),
    device: chosen.device,
    ...(budget === undefined ? {} : { memoryBudget: budget }),
    threads,
    queueLimit,
  };
  signal?.throwIfAborted();
  const report = options.onProgress;
  const handle = callNative((addon) =>
    addon.load(spec, (loaded, total) => report?.({ phase: 'load', loaded, total })),
  );
  const native = await abortable(handle.result, signal, () => handle.cancel());
  return {
    native,
    config: plan.config,
    modelId,
    ...chosen,
    imageLimits,
    queueLimit,
  };
}

/**
 * Waits for work that others may be waiting for too: an abort rejects with the signal's reason at
 * once and the work goes on.
 */
export async function orAborted<T>(work: Promise<T>, signal: AbortSignal | undefined): Promise<T> {
  if (!signal) return work;
  signal.throwIfAborted();
  let stop!: () => void;
  const aborted = new Promise<never>((_, reject) => {
    stop = () => reject(signal.reason);
    signal.addEventListener('abort', stop, { once: true });
  });
  try {
    return await Promise.race([work, aborted]);
  } finally {
    signal.removeEventListener('abort', stop);
  }
}

/**
 * Waits for native work; an abort asks it to stop and rejects with the signal's reason as soon as it
 * has (nothing is left running behind a rejected call).
 */
export async function abortable<T>(
  work: Promise<T>,
  signal: AbortSignal | undefined,
  stop: () => void,
): Promise<T> {
  signal?.addEventListener('abort', stop, { once: true });
  try {
    return await work;
  } catch (error) {
    if (signal?.aborted) throw signal.reason;
    throw fromNative(error);
  } finally {
    signal?.removeEventListener('abort', stop);
  }
}
