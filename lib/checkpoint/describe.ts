// A checkpoint in words and numbers, for `acd-clip inspect FILE`.
import { AcdClipError } from '../errors';
import { type AdapterSizes, inferAdapter, looksLikeAdapter } from './adapter';
import { type BackboneSizes, inferBackbone, looksLikeBackbone } from './backbone';
import type { Checkpoint, CheckpointFormat, MetadataValue } from './checkpoint';
import { type ReadCheckpointOptions, readCheckpoint } from './read';

export interface CheckpointDescription {
  path: string;
  format: CheckpointFormat;
  kind: 'backbone' | 'adapter' | 'bundle' | 'unknown';
  /** One line, for example "CLIP ViT-L/14, 24+12 layers, width 1024/768, stored at 336 px". */
  summary: string;
  backbone?: BackboneSizes;
  adapter?: AdapterSizes;
  /** Why a part that is there cannot be used. */
  problems: string[];
  files: { path: string; bytes: number }[];
  /** Elements of all tensors. */
  parameters: number;
  /** Tensors of each element type. */
  dtypes: Record<string, number>;
  metadata: Record<string, MetadataValue>;
  tensors: { name: string; dtype: string; shape: number[] }[];
}

/**
 * Reads a checkpoint's table of contents and says what it is. A file that can be read but not used
 * is described with its `problems`; one that cannot be read throws as readCheckpoint does.
 */
export async function describeCheckpoint(
  path: string,
  options: ReadCheckpointOptions = {},
): Promise<CheckpointDescription> {
  const checkpoint = await readCheckpoint(path, options);
  const problems: string[] = [];
  const hasBackbone = looksLikeBackbone(checkpoint);
  const hasAdapter = looksLikeAdapter(checkpoint);
  const backbone = hasBackbone
    ? attempt(() => inferBackbone(checkpoint).sizes, problems)
    : undefined;
  const adapter = hasAdapter ? attempt(() => inferAdapter(checkpoint).sizes, problems) : undefined;
  const tensors = [...checkpoint.tensors.values()];
  return {
    path: checkpoint.path,
    format: checkpoint.format,
    kind: kindOf(hasBackbone, hasAdapter, problems),
    summary: summarise(backbone, adapter, problems),
    ...(backbone === undefined ? {} : { backbone }),
    ...(adapter === undefined ? {} : { adapter }),
    problems,
    files: checkpoint.files.map(({ path: file, bytes }) => ({ path: file, bytes })),
    parameters: tensors.reduce((sum, t) => sum + t.shape.reduce((a, b) => a * b, 1), 0),
    dtypes: countDtypes(checkpoint),
    metadata: Object.fromEntries(checkpoint.metadata),
    tensors: tensors.map(({ name, dtype, shape }) => ({ name, dtype, shape })),
  };
}

function attempt<T>(infer: () => T, problems: string[]): T | undefined {
  try {
    return infer();
  } catch (error) {
    if (!(error instanceof AcdClipError)) throw error;
    problems.push(error.message);
    return undefined;
  }
}

function kindOf(
  backbone: boolean,
  adapter: boolean,
  problems: readonly string[],
): CheckpointDescription['kind'] {
  if (problems.length > 0 || !(backbone || adapter)) return 'unknown';
  return backbone && adapter ? 'bundle' : backbone ? 'backbone' : 'adapter';
}

function summarise(
  backbone: BackboneSizes | undefined,
  adapter: AdapterSizes | undefined,
  problems: readonly string[],
): string {
  const parts = [backbone && describeBackbone(backbone), adapter && describeAdapter(adapter)];
  const known = parts.filter((p) => p !== undefined).join('; ');
  return known || (problems[0] ?? 'no CLIP and no ACD-CLIP adapter in it');
}

const LETTERS: ReadonlyMap<string, string> = new Map([
  ['768/12', 'B'],
  ['1024/24', 'L'],
  ['1280/32', 'H'],
  ['1408/40', 'g'],
  ['1664/48', 'bigG'],
]);

function describeBackbone(s: BackboneSizes): string {
  const letter = LETTERS.get(`${s.visionWidth}/${s.visionLayers}`);
  const name = letter === undefined ? `ViT/${s.patchSize}` : `ViT-${letter}/${s.patchSize}`;
  const seed = s.tokenEmbeddingSeed;
  const tokens = seed === undefined ? '' : `, token table computed from seed ${seed}`;
  return `CLIP ${name}, ${s.visionLayers}+${s.textLayers} layers, width ${s.visionWidth}/${s.textWidth}, stored at ${s.pretrainGrid * s.patchSize} px${tokens}`;
}

function describeAdapter(s: AdapterSizes): string {
  const conv = s.convGroups === 1 ? '' : `, ${s.convGroups} conv groups`;
  return `ACD-CLIP adapter, ${s.groups} groups, rank ${s.loraRank} (text ${s.textLoraRank}), conv rank ${s.convLoraRank}, kernels ${s.kernelSizes.join('+')}${conv}, hidden ${s.adapterHidden}, for width ${s.visionWidth}/${s.textWidth}`;
}

function countDtypes(checkpoint: Checkpoint): Record<string, number> {
  const counts: Record<string, number> = {};
  for (const { dtype } of checkpoint.tensors.values()) counts[dtype] = (counts[dtype] ?? 0) + 1;
  return counts;
}
