// ACD-CLIP's trained part: groups, ranks, kernel sizes and widths are read off names and shapes.
import type { ModelConfig } from '../../typings/native';
import type { Checkpoint } from './checkpoint';
import { mismatch } from './failures';
import { countIndices, type Shapes, selectTensors, sizesOf } from './shape-check';
import {
  adapterTensors,
  backboneTensors,
  type NamedTensor,
  type NamedTensors,
} from './tensor-names';

export type AdapterSizes = Pick<
  ModelConfig,
  | 'visionWidth'
  | 'textWidth'
  | 'embedDim'
  | 'groups'
  | 'loraRank'
  | 'textLoraRank'
  | 'convLoraRank'
  | 'convGroups'
  | 'kernelSizes'
  | 'adapterHidden'
>;

export interface Adapter {
  sizes: AdapterSizes;
  tensors: NamedTensor[];
}

/**
 * Finds the image and text adapters in a checkpoint. Every tensor under image_adapter. and
 * text_adapter. must be one that the sizes call for.
 *
 * @throws AcdClipError ERR_ACD_CHECKPOINT_MISMATCH
 */
export function inferAdapter(checkpoint: Checkpoint): Adapter {
  const what = checkpoint.path;
  const tensors = adapterTensors(checkpoint);
  checkBothHalves(checkpoint, tensors);
  const sizes = readSizes(what, tensors);
  const shapes = adapterShapes(sizes);
  const selected = selectTensors(what, tensors, shapes);
  const extra = [...tensors.keys()].filter((name) => !shapes.has(name));
  if (extra.length > 0) {
    throw mismatch(
      `Expected only ACD-CLIP's tensors in the adapter ${what} but found ${extra.slice(0, 4).join(', ')} (${extra.length} more than needed)`,
      'An adapter with other parts was trained as another model; it would not score as it did there.',
    );
  }
  return { sizes, tensors: selected };
}

/** Whether a checkpoint holds anything of an adapter. */
export function looksLikeAdapter(checkpoint: Checkpoint): boolean {
  return adapterTensors(checkpoint).size > 0;
}

function checkBothHalves(checkpoint: Checkpoint, tensors: NamedTensors): void {
  const names = [...tensors.keys()];
  const image = names.some((name) => name.startsWith('image_adapter.'));
  const text = names.some((name) => name.startsWith('text_adapter.'));
  if (image && text) return;
  if (image) {
    throw mismatch(
      `Expected image_adapter and text_adapter in ${checkpoint.path} but it holds only the image half`,
    );
  }
  if (text) {
    throw mismatch(
      `Expected image_adapter and text_adapter in ${checkpoint.path} but it holds only the text half`,
      'A first-stage checkpoint is not a whole adapter: use the one written after both halves were trained.',
    );
  }
  if (backboneTensors(checkpoint).has('visual.conv1.weight')) {
    throw mismatch(
      `Expected an ACD-CLIP adapter for adapter but ${checkpoint.path} is a CLIP backbone`,
      'Pass it as backbone, and the trained adapter (.pth or .safetensors) as adapter.',
    );
  }
  throw mismatch(
    `Expected image_adapter.* and text_adapter.* tensors in ${checkpoint.path} but found none`,
  );
}

function readSizes(what: string, tensors: NamedTensors): AdapterSizes {
  const size = (name: string, rank: number) => sizesOf(what, tensors, name, rank);
  const groups = countIndices(what, tensors, 'image_adapter.m_i_w.');
  const blocks = 'image_adapter.lora_adapters.0.conv_lora_blocks.';
  const [visionWidth, loraRank] = size(`${blocks}0.lora_A`, 2);
  const [convLoraRank, ranksPerGroup] = size(`${blocks}0.conv_lora_A.weight`, 4);
  const kernelSizes: number[] = [];
  for (let j = 0; j < countIndices(what, tensors, blocks); j++) {
    const [, , , kernel] = size(`${blocks}${j}.conv_lora_A.weight`, 4);
    if (kernel! % 2 === 0) {
      throw mismatch(`Expected odd kernel sizes in the adapter ${what} but received ${kernel}`);
    }
    kernelSizes.push(kernel!);
  }
  const convGroups = loraRank! / ranksPerGroup!;
  if (!Number.isInteger(convGroups) || convLoraRank! % convGroups !== 0) {
    throw mismatch(
      `Expected ${blocks}0.conv_lora_A.weight of ${what} to split ${loraRank} channels evenly, got ${ranksPerGroup} to a group`,
    );
  }
  const [embedDim, adapterHidden] = size('image_adapter.seg_proj.0.fc.2.weight', 2);
  const [textWidth, textLoraRank] = size('text_adapter.lora_adapters.0.lora_A', 2);
  return {
    visionWidth: visionWidth!,
    textWidth: textWidth!,
    embedDim: embedDim!,
    groups,
    loraRank: loraRank!,
    textLoraRank: textLoraRank!,
    convLoraRank: convLoraRank!,
    convGroups,
    kernelSizes,
    adapterHidden: adapterHidden!,
  };
}

/** Names and shapes of an adapter's weights. */
export function adapterShapes(s: AdapterSizes): Shapes {
  const shapes: Shapes = new Map();
  for (let i = 0; i < s.groups; i++) {
    addImageGroup(shapes, s, i);
    shapes.set(`text_adapter.m_t_w.${i}.i_w`, [1, 1, s.textWidth]);
    shapes.set(`text_adapter.layer_norms.${i}.weight`, [s.textWidth]);
    shapes.set(`text_adapter.layer_norms.${i}.bias`, [s.textWidth]);
    shapes.set(`text_adapter.lora_adapters.${i}.lora_A`, [s.textWidth, s.textLoraRank]);
    shapes.set(`text_adapter.lora_adapters.${i}.lora_B`, [s.textLoraRank, s.textWidth]);
  }
  return shapes;
}

function addImageGroup(shapes: Shapes, s: AdapterSizes, i: number): void {
  const set = (name: string, ...shape: number[]) => shapes.set(`image_adapter.${name}`, shape);
  set(`m_i_w.${i}.i_w`, 1, 1, s.visionWidth);
  for (const [j, k] of s.kernelSizes.entries()) {
    const block = `lora_adapters.${i}.conv_lora_blocks.${j}.`;
    set(`${block}lora_A`, s.visionWidth, s.loraRank);
    set(`${block}lora_B`, s.loraRank, s.visionWidth);
    set(`${block}conv_lora_A.weight`, s.convLoraRank, s.loraRank / s.convGroups, k, k);
    set(`${block}conv_lora_B.weight`, s.loraRank, s.convLoraRank / s.convGroups, k, k);
  }
  set(
    `lora_adapters.${i}.fusion_conv.weight`,
    s.visionWidth,
    s.visionWidth * s.kernelSizes.length,
    1,
    1,
  );
  for (const head of ['seg', 'det']) {
    set(`${head}_layer_norms.${i}.weight`, s.embedDim);
    set(`${head}_layer_norms.${i}.bias`, s.embedDim);
    set(`${head}_proj.${i}.fc.0.weight`, s.adapterHidden, s.visionWidth);
    set(`${head}_proj.${i}.fc.0.bias`, s.adapterHidden);
    set(`${head}_proj.${i}.fc.2.weight`, s.embedDim, s.adapterHidden);
    set(`${head}_proj.${i}.fc.2.bias`, s.embedDim);
  }
  set(`vision_text_gate.${i}.0.weight`, s.adapterHidden, s.embedDim);
  set(`vision_text_gate.${i}.0.bias`, s.adapterHidden);
  set(`vision_text_gate.${i}.2.weight`, 2 * s.groups, s.adapterHidden);
  set(`vision_text_gate.${i}.2.bias`, 2 * s.groups);
}
