// Names and shapes of every CLIP and adapter parameter of the reference's configurations.

/** The reference's Config as goldens/*.json store it. */
export interface ReferenceConfig {
  image_size: number;
  patch_size: number;
  vision_width: number;
  vision_layers: number;
  text_width: number;
  text_layers: number;
  vocab_size: number;
  context_length: number;
  embed_dim: number;
  pretrain_image_size: number;
  n_groups: number;
  lora_rank: number;
  conv_lora_rank: number;
  conv_kernel_size_list: number[];
  adapter_hidden: number;
  quick_gelu: boolean;
}

type Shapes = Map<string, number[]>;

function tower(shapes: Shapes, prefix: string, width: number, layers: number): void {
  for (let i = 0; i < layers; i++) {
    const b = `${prefix}.resblocks.${i}.`;
    for (const norm of ['ln_1', 'ln_2']) {
      shapes.set(`${b}${norm}.weight`, [width]).set(`${b}${norm}.bias`, [width]);
    }
    shapes
      .set(`${b}attn.in_proj_weight`, [3 * width, width])
      .set(`${b}attn.in_proj_bias`, [3 * width])
      .set(`${b}attn.out_proj.weight`, [width, width])
      .set(`${b}attn.out_proj.bias`, [width])
      .set(`${b}mlp.c_fc.weight`, [4 * width, width])
      .set(`${b}mlp.c_fc.bias`, [4 * width])
      .set(`${b}mlp.c_proj.weight`, [width, 4 * width])
      .set(`${b}mlp.c_proj.bias`, [width]);
  }
}

export function clipShapes(c: ReferenceConfig): Shapes {
  const [d, w] = [c.vision_width, c.text_width];
  const grid = c.pretrain_image_size / c.patch_size;
  const shapes: Shapes = new Map();
  shapes
    .set('visual.class_embedding', [d])
    .set('visual.positional_embedding', [grid * grid + 1, d])
    .set('visual.proj', [d, c.embed_dim])
    .set('visual.conv1.weight', [d, 3, c.patch_size, c.patch_size])
    .set('positional_embedding', [c.context_length, w])
    .set('text_projection', [w, c.embed_dim])
    .set('token_embedding.weight', [c.vocab_size, w])
    .set('logit_scale', []);
  for (const [norm, width] of [
    ['visual.ln_pre', d],
    ['visual.ln_post', d],
    ['ln_final', w],
  ] as const) {
    shapes.set(`${norm}.weight`, [width]).set(`${norm}.bias`, [width]);
  }
  tower(shapes, 'visual.transformer', d, c.vision_layers);
  tower(shapes, 'transformer', w, c.text_layers);
  return shapes;
}

export function adapterShapes(c: ReferenceConfig): Shapes {
  const { vision_width: d, embed_dim: e, adapter_hidden: h, lora_rank: r, conv_lora_rank: cr } = c;
  const shapes: Shapes = new Map();
  for (let i = 0; i < c.n_groups; i++) {
    const p = 'image_adapter.';
    shapes.set(`${p}m_i_w.${i}.i_w`, [1, 1, d]);
    c.conv_kernel_size_list.forEach((k, j) => {
      const b = `${p}lora_adapters.${i}.conv_lora_blocks.${j}.`;
      shapes.set(`${b}lora_A`, [d, r]).set(`${b}lora_B`, [r, d]);
      shapes
        .set(`${b}conv_lora_A.weight`, [cr, r, k, k])
        .set(`${b}conv_lora_B.weight`, [r, cr, k, k]);
    });
    const fused = d * c.conv_kernel_size_list.length;
    shapes.set(`${p}lora_adapters.${i}.fusion_conv.weight`, [d, fused, 1, 1]);
    for (const head of ['seg', 'det']) {
      shapes
        .set(`${p}${head}_layer_norms.${i}.weight`, [e])
        .set(`${p}${head}_layer_norms.${i}.bias`, [e]);
      shapes
        .set(`${p}${head}_proj.${i}.fc.0.weight`, [h, d])
        .set(`${p}${head}_proj.${i}.fc.0.bias`, [h]);
      shapes
        .set(`${p}${head}_proj.${i}.fc.2.weight`, [e, h])
        .set(`${p}${head}_proj.${i}.fc.2.bias`, [e]);
    }
    const gate = `${p}vision_text_gate.${i}.`;
    shapes.set(`${gate}0.weight`, [h, e]).set(`${gate}0.bias`, [h]);
    shapes.set(`${gate}2.weight`, [2 * c.n_groups, h]).set(`${gate}2.bias`, [2 * c.n_groups]);
    const t = 'text_adapter.';
    shapes.set(`${t}m_t_w.${i}.i_w`, [1, 1, c.text_width]);
    shapes
      .set(`${t}layer_norms.${i}.weight`, [c.text_width])
      .set(`${t}layer_norms.${i}.bias`, [c.text_width]);
    shapes.set(`${t}lora_adapters.${i}.lora_A`, [c.text_width, r]);
    shapes.set(`${t}lora_adapters.${i}.lora_B`, [r, c.text_width]);
  }
  return shapes;
}
