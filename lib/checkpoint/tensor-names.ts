// One vocabulary for weights: OpenAI's names. open_clip uses the same ones; Hugging Face's CLIPModel
// renames everything and keeps q, k and v apart.
import type { Checkpoint, CheckpointTensor } from './checkpoint';

/** A tensor under its canonical name; `parts` are stacked along axis 0. */
export interface NamedTensor {
  name: string;
  shape: number[];
  parts: CheckpointTensor[];
}

export type NamedTensors = Map<string, NamedTensor>;

const ADAPTER = /^(image|text)_adapter\./;

/** All tensors that are not an adapter's, under OpenAI's names where they have one. */
export function backboneTensors(checkpoint: Checkpoint): NamedTensors {
  const tensors = [...checkpoint.tensors.values()].filter((t) => !ADAPTER.test(t.name));
  if (tensors.some((t) => t.name.startsWith('vision_model.'))) return fromHuggingFace(tensors);
  // open_clip's models with a separate text class say text.transformer... for transformer...
  const nested = tensors.some((t) => t.name === 'text.token_embedding.weight');
  return new Map(
    tensors.map((t) => {
      const name = nested ? t.name.replace(/^text\./, '') : t.name;
      return [name, single(name, t)];
    }),
  );
}

/** The tensors of image_adapter and text_adapter, without a DataParallel prefix. */
export function adapterTensors(checkpoint: Checkpoint): NamedTensors {
  const named: NamedTensors = new Map();
  for (const tensor of checkpoint.tensors.values()) {
    if (!ADAPTER.test(tensor.name)) continue;
    const name = tensor.name.replace(/^(\w+)\.module\./, '$1.');
    named.set(name, single(name, tensor));
  }
  return named;
}

function single(name: string, tensor: CheckpointTensor): NamedTensor {
  return { name, shape: tensor.shape, parts: [tensor] };
}

const PLAIN: readonly [pattern: RegExp, canonical: string][] = [
  [/^vision_model\.embeddings\.class_embedding$/, 'visual.class_embedding'],
  [/^vision_model\.embeddings\.patch_embedding\.weight$/, 'visual.conv1.weight'],
  [/^vision_model\.embeddings\.position_embedding\.weight$/, 'visual.positional_embedding'],
  [/^vision_model\.pre_layrnorm\./, 'visual.ln_pre.'],
  [/^vision_model\.encoder\.layers\./, 'visual.transformer.resblocks.'],
  [/^text_model\.embeddings\.token_embedding\./, 'token_embedding.'],
  [/^text_model\.embeddings\.position_embedding\.weight$/, 'positional_embedding'],
  [/^text_model\.encoder\.layers\./, 'transformer.resblocks.'],
];

const IN_BLOCK: readonly [pattern: RegExp, canonical: string][] = [
  [/\.self_attn\.out_proj\./, '.attn.out_proj.'],
  [/\.layer_norm1\./, '.ln_1.'],
  [/\.layer_norm2\./, '.ln_2.'],
  [/\.mlp\.fc1\./, '.mlp.c_fc.'],
  [/\.mlp\.fc2\./, '.mlp.c_proj.'],
];

const QKV = /^(.+)\.self_attn\.([qkv])_proj\.(weight|bias)$/;

function fromHuggingFace(tensors: readonly CheckpointTensor[]): NamedTensors {
  const named: NamedTensors = new Map();
  const split = new Map<string, Map<string, CheckpointTensor>>();
  for (const tensor of tensors) {
    const name = rename(rename(tensor.name, PLAIN), IN_BLOCK);
    const qkv = QKV.exec(name);
    if (qkv === null) {
      named.set(name, single(name, tensor));
      continue;
    }
    const whole = `${qkv[1]}.attn.in_proj_${qkv[3]}`;
    split.set(whole, (split.get(whole) ?? new Map()).set(qkv[2]!, tensor));
  }
  for (const [name, parts] of split) {
    const joined = stack(
      name,
      ['q', 'k', 'v'].map((letter) => parts.get(letter)),
    );
    if (joined !== undefined) named.set(name, joined);
  }
  return named;
}

function rename(name: string, rules: readonly [RegExp, string][]): string {
  for (const [pattern, canonical] of rules) {
    if (pattern.test(name)) return name.replace(pattern, canonical);
  }
  return name;
}

/** q, k, v on top of each other; undefined, and so reported as missing, unless all three fit. */
function stack(
  name: string,
  parts: readonly (CheckpointTensor | undefined)[],
): NamedTensor | undefined {
  const found = parts.filter((p) => p !== undefined);
  const shape = found[0]?.shape ?? [];
  const equal = found.every((p) => String(p.shape) === String(shape));
  if (found.length !== parts.length || !equal || shape.length === 0) return undefined;
  return { name, shape: [found.length * shape[0]!, ...shape.slice(1)], parts: found };
}
