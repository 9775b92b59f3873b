// Options that choose and shape the model, the same for every command that loads one.
import type { Command } from 'commander';
import { AcdClip } from '../acd-clip';
import type { LoadOptions } from '../model/types';
import { type Io, note } from './io';
import { integer, integers, number } from './parsers';
import { progressOn } from './progress';

export interface ModelOptions
  extends Pick<
    LoadOptions,
    | 'backbone'
    | 'adapter'
    | 'bundle'
    | 'imageSize'
    | 'device'
    | 'precision'
    | 'threads'
    | 'quickGelu'
    | 'loraAlpha'
    | 'convLoraAlpha'
    | 'textLoraAlpha'
    | 'visionLevels'
    | 'textLevels'
  > {
  quiet?: boolean;
}

const LOAD_KEYS = [
  'imageSize',
  'device',
  'precision',
  'threads',
  'quickGelu',
  'loraAlpha',
  'convLoraAlpha',
  'textLoraAlpha',
  'visionLevels',
  'textLevels',
] as const;

export function addModelOptions(command: Command): Command {
  const alpha = number(0, 1e6);
  return command
    .optionsGroup('Model (without one: the starter model of this package):')
    .option('--backbone <file>', 'CLIP checkpoint: .pt, .pth, .bin, .safetensors [ACD_BACKBONE]')
    .option('--adapter <file>', 'trained ACD-CLIP adapter for it [ACD_ADAPTER]')
    .option('--bundle <file>', 'one file that holds both [ACD_BUNDLE]')
    .option('--image-size <pixels>', "side of the model's input", integer(1, 4096))
    .option('--device <name>', 'auto, cpu, cuda or cuda:N')
    .option('--precision <name>', 'auto, fp32, bf16, fp16, int8 or fp8')
    .option('--threads <n>', 'threads of one computation (default: all)', integer(1, 1024))
    .option('--quick-gelu', "OpenAI's activation instead of the exact GELU")
    .option('--lora-alpha <n>', 'scale of the LoRA parts (default: 2)', alpha)
    .option('--conv-lora-alpha <n>', 'scale of the convolutional LoRA parts (default: 2)', alpha)
    .option('--text-lora-alpha <n>', 'scale of the text LoRA parts (default: --lora-alpha)', alpha)
    .option('--vision-levels <layers>', 'layers that end the groups, like 6,12,18,24', integers)
    .option('--text-levels <layers>', 'the same for the text tower', integers);
}

/** Loads the model that options and environment name, telling on stderr how far it is. */
export async function loadModel(options: ModelOptions, io: Io): Promise<AcdClip> {
  const quiet = options.quiet ?? false;
  const files = chosenFiles(options, io.env);
  if (Object.keys(files).length === 0 && !quiet) note(io, STARTER);
  const progress = progressOn(io, 'Loading weights', { quiet, show: megabytes });
  try {
    const model = await AcdClip.load({
      ...files,
      ...Object.fromEntries(
        LOAD_KEYS.filter((key) => options[key] !== undefined).map((key) => [key, options[key]]),
      ),
      signal: io.signal,
      logger: (level, message) => level === 'warn' && note(io, `acd-clip: warning: ${message}`),
      onProgress: ({ loaded, total }) => progress.update(loaded, total),
    });
    progress.stop();
    if (!quiet) note(io, readyOn(model));
    return model;
  } finally {
    progress.stop();
  }
}

function readyOn(m: AcdClip): string {
  return `Model ready on ${m.device} (${m.deviceReason}) in ${m.precision} (${m.precisionReason})`;
}

const STARTER =
  'Using the starter model; choose another with --bundle, or with --backbone and --adapter';

function megabytes(bytes: number): string {
  return `${(bytes / 1e6).toFixed(0)} MB`;
}

/** Files on the command line come before those of the environment, which must not mix in others. */
function chosenFiles(
  o: ModelOptions,
  env: Io['env'],
): Pick<LoadOptions, 'backbone' | 'adapter' | 'bundle'> {
  const files: Pick<LoadOptions, 'backbone' | 'adapter' | 'bundle'> = {};
  const set = (key: 'backbone' | 'adapter' | 'bundle', file: string | undefined) => {
    if (file !== undefined && file !== '') files[key] = file;
  };
  const wantsPair = o.backbone !== undefined || o.adapter !== undefined;
  set('bundle', o.bundle ?? (wantsPair ? undefined : env.ACD_BUNDLE));
  if (files.bundle === undefined || wantsPair) {
    const fromEnv = files.bundle === undefined ? env : {};
    set('backbone', o.backbone ?? fromEnv.ACD_BACKBONE);
    set('adapter', o.adapter ?? fromEnv.ACD_ADAPTER);
  }
  return files;
}
